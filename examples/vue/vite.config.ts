import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [vue()],
  server: {
    proxy: {
      '/api': {
        // The server of examples/demo, or yours.
        target: process.env.API ?? 'http://127.0.0.1:4173',
        // A stream that breaks off behind the proxy breaks off before it too; left alone, it would only fall silent.
        configure(proxy) {
          proxy.on('proxyRes', (answer, _, response) => {
            answer.once('close', () => {
              if (!answer.complete) response.destroy()
            })
          })
        },
      },
    },
  },
})

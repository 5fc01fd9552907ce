import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // Whatever serves the streams: here the server of examples/demo (`npm run demo` in the repository).
  server: { proxy: { '/api': process.env.API ?? 'http://127.0.0.1:4173' } },
})

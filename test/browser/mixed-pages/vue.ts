import { useChannel, useEvents } from 'millrace/vue'
import { createApp, h } from 'vue'
import { heard, poll, stream, text } from './shared'

const App = {
  setup() {
    useEvents(stream(), heard)
    const { data: count } = useChannel(stream())
    const { data: answer } = useChannel(poll())
    return () => h('output', text(count.value, answer.value))
  },
}

createApp(App).mount(document.body.appendChild(document.createElement('main')))

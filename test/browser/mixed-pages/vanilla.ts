import { subscribe } from 'millrace'
import { bind } from 'millrace/vanilla'
import { type Answer, type Count, heard, poll, stream, text } from './shared'

const output = document.body.appendChild(document.createElement('output'))
let count: Count | undefined
let answer: Answer | undefined
const show = () => {
  output.textContent = text(count, answer)
}
subscribe(stream(), heard)
bind(output, stream(), ({ data }) => {
  count = data
  show()
})
bind(output, poll(), ({ data }) => {
  answer = data
  show()
})

import { MillraceError } from 'millrace'
import { visitors } from './live'
import { Visitors } from './visitors'

// Rendered at every request, and not only when it is built.
export const dynamic = 'force-dynamic'

export default function Page() {
  return (
    <main id={visitors.key} title={new MillraceError('gap', 'made on the server').message}>
      <Visitors />
      <Visitors />
    </main>
  )
}

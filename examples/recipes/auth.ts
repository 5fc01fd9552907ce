import { type Client, createClient } from 'millrace'

// When requests carry a token that expires. Streams and fetches ask for their headers at every attempt; the first 401
// renews the token, whoever else is answered 401 meanwhile waits for the same renewal, and each is tried once more.

export interface Session {
  /** Who it is: tabs share connections only if they say so. */
  user: string
  token: string
}

export function createSessionClient(baseUrl: string, session: Session, onSignedOut: () => void): Client {
  let { token } = session
  return createClient({
    baseUrl,
    identity: session.user,
    headers: () => ({ authorization: `Bearer ${token}` }),
    async onUnauthorized() {
      if (!token) return false
      // The plain `fetch`: through the client it would wait for itself.
      const answer = await fetch(new URL('/api/token', baseUrl), { method: 'POST', credentials: 'include' })
      token = answer.ok ? (await answer.json()).token : ''
      if (!token) onSignedOut()
      return token !== ''
    },
  })
}

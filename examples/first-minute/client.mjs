import { configure, defineChannel, subscribe } from 'millrace'

const users = defineChannel({
  key: ['users'],
  stream: '/api/users/stream', // server-sent events
  snapshot: '/api/users', // and where to start from
  reduce: (users, { data }) => [...users.filter((user) => user !== data), data],
})

configure({ baseUrl: 'http://localhost:3000' }) // a page needs none

// Ask for it wherever you need it: the first one opens the stream, the others join.
const subscription = subscribe(users, {
  state: ({ status, data }) => console.log(status, data),
})
setTimeout(subscription.unsubscribe, 60_000) // the last one closes it

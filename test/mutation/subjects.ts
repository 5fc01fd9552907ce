/**
 * The sources under mutation, each with the mutants of it that may live: the line that one would make, and why nobody
 * could see the difference. The tests of a source are those of its name in test/unit.
 */
export const subjects: { readonly [file: string]: { readonly [line: string]: string } } = {
  'primitives/backoff': {},
  'primitives/clock': {
    'const due = now() + (ms >= 0 ? ms : 0)': 'Zero is zero.',
    'const timer = { label, dueAt: clock.now() + (ms >= 0 ? ms : 0) }': 'Zero is zero.',
  },
  'primitives/hash-key': {},
  'primitives/utf-8': {},
  'primitives/structural-sharing': {
    'if (false) return previous': 'The way through every part comes to the same, only later.',
  },
  'stream/event-stream': {},
  'stream/messages': {},
  'stream/reconnection': {},
  'network/breaker': {},
  'network/budget': {
    'if (true) {': 'What is looked through for nothing is none.',
    'if (bucket.free.length >= 0) {': 'What is looked through for nothing is none.',
  },
  'network/endpoint': {},
  'network/figures': {},
  'network/gate': {},
  'network/guard': {
    'const lately = false ? admitted : admitted.filter(({ at }) => now - at < GUARD_WINDOW)':
      'What is too old may be forgotten at any time; when it is full is the cheapest.',
  },
  'network/in-flight': {
    'if (URGENCY.indexOf(priority) >= URGENCY.indexOf(flight.priority)) flight.priority = priority':
      'What is as urgent is as urgent.',
  },
  'network/patience': {},
  'network/queue': {},
  'network/response-cache': {
    'remove([...cached].reduce((least, other) => (other[1].used <= least[1].used ? other : least))[0])':
      'Each use has a number of its own.',
  },
  'network/send': {},
  'network/switch': {},
  'sources/replay-filter': {},
  'sources/tabs/election': {},
  'sources/tabs/wire': {},
  'registry/channel-state': {},
  'registry/decode': {
    "return data.endsWith('{') || MAY_BE_JSON.test(data) ? JSON.parse(data) : data": 'The short cut saves time alone.',
  },
  'registry/sequencer': {},
  'registry/timeline': {},
}

/** One source file under mutation. */
export interface Subject {
  /** The tests that know it. */
  readonly tests: readonly string[]
  /** What may survive, as the line that the mutant would make of it, and why nobody could see a difference. */
  readonly equivalent?: { readonly [line: string]: string }
}

export const subjects: { readonly [file: string]: Subject } = {
  'network/breaker': { tests: ['unit/breaker'] },
  'network/slots': { tests: ['unit/slots'] },
  'network/token-bucket': { tests: ['unit/token-bucket'] },
  'network/runaway-guard': {
    tests: ['unit/runaway-guard'],
    equivalent: {
      'let closed = { until: 0, who: "Stryker was here!" }': 'Nobody asks before 1970, so this name is never told.',
      'if (true) admitted = admitted.filter(({ at }) => now - at < GUARD_WINDOW)':
        'What is too old may be forgotten at any time; when it is full is the cheapest.',
    },
  },
  'network/response-cache': {
    tests: ['unit/response-cache'],
    equivalent: {
      'remove([...cached].reduce((least, other) => (other[1].used <= least[1].used ? other : least))[0])':
        'Each use has a number of its own.',
    },
  },
  'stream/reconnection': { tests: ['unit/reconnection'] },
  'sources/tabs/election': { tests: ['unit/election'] },
  'sources/tabs/chain': { tests: ['unit/chain'] },
  'sources/replay-filter': { tests: ['unit/replay-filter'] },
  'registry/sequencer': { tests: ['unit/sequencer'] },
  'primitives/backoff': { tests: ['unit/backoff'] },
  'primitives/hash-key': { tests: ['unit/hash-key'] },
  'primitives/structural-sharing': {
    tests: ['unit/structural-sharing'],
    equivalent: {
      'if (false) return previous': 'The way through every part comes to the same, only later.',
    },
  },
  'primitives/clock': {
    tests: ['unit/clock'],
    equivalent: {
      'const due = now() + (ms >= 0 ? ms : 0)': 'Zero is zero.',
      'const timer = { label, dueAt: clock.now() + (ms >= 0 ? ms : 0) }': 'Zero is zero.',
    },
  },
  'stream/messages': { tests: ['unit/messages'] },
  'stream/event-stream': {
    tests: [
      ...['answers', 'backoff', 'last-event-id', 'limits', 'survival'].map(
        (name) => `behaviour/reconnecting-event-source/${name}`,
      ),
    ],
  },
  'registry/channel-state': { tests: ['unit/channel-state'] },
  'sources/tabs/wire': { tests: ['unit/tab-wire'] },
  'registry/decode': { tests: ['unit/decode'] },
  'network/in-flight': { tests: ['unit/in-flight'] },
  'network/gate': { tests: ['unit/gate'] },
  'network/endpoints': { tests: ['unit/endpoints'] },
}

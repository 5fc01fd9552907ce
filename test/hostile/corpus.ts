/** Lines and blocks that a stream should survive: what parsers, decoders and records have been broken by elsewhere. */
export const nastyLines: readonly string[] = [
  '',
  ':',
  ': comment \0 \ud83d\ude00',
  'data',
  'data:',
  'data: ',
  'data:\0',
  'data: \u2028\u2029',
  'data: {"__proto__":{"polluted":true}}',
  'data: {"constructor":{"prototype":{"polluted":true}}}',
  'data: 1e999',
  'data: -0',
  'data: 123456789012345678901234567890',
  'data: "\\ud800"',
  'data: "\\u0000"',
  'data: [[[[[[[[',
  'data: {"a":',
  'data: NaN',
  'event',
  'event: __proto__',
  'event: constructor',
  'event: \0',
  'event: open',
  'event: error',
  'id',
  'id: ',
  'id: \0',
  'id: a\0b',
  'id: __proto__',
  'id: \u20ac\ud83d\ude00',
  `id: ${'9'.repeat(5_000)}`,
  'retry',
  'retry: ',
  'retry: -1',
  'retry: 1.5',
  'retry: 1e9',
  'retry: 0x10',
  'retry: soon',
  `retry: ${'9'.repeat(400)}`,
  'DATA: x',
  ' data: x',
  '__proto__: x',
  'constructor: x',
  '\ufeffdata: x',
  'data\u0000: x',
  'x'.repeat(3_000),
]

/** Bytes that are no UTF-8, or only half of it. */
export const nastyBytes: readonly (readonly number[])[] = [
  [0x00],
  [0x80],
  [0xc0, 0xaf],
  [0xe2, 0x82],
  [0xed, 0xa0, 0x80],
  [0xf0, 0x9f, 0x98],
  [0xff, 0xfe],
  [0xef, 0xbb, 0xbf],
  [0x0d],
  [0x0a],
  [0x0d, 0x0a],
]

/** Names that belong to every object. */
export const inheritedNames: readonly string[] = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '__defineGetter__',
]

/** JSON of so many arrays within each other. */
export const deepJson = (levels: number, core = '1'): string => '['.repeat(levels) + core + ']'.repeat(levels)

/** How deep it is, and what is in the middle, without a stack. */
export function depthOf(value: unknown): { readonly levels: number; readonly core: unknown } {
  let core = value
  let levels = 0
  for (; Array.isArray(core); core = core[0]) levels += 1
  return { levels, core }
}

import { type Case, messages, openStream, stream } from '../case'
import { ID_ALONE } from './resuming'

const bytes = (text: string): number[] => [...new TextEncoder().encode(text)]
const bytewise = (text: string): number[][] => bytes(text).map((byte) => [byte])

type Message = [type: string, data: string, id: string]
const message = (data: string, id = ''): Message => ['message', data, id]

const BOM = 'A byte order mark is dropped when it comes in pieces, too; WebKit drops it only when it comes whole.'
const NUL =
  'A NUL stays in data, and an id with one is ignored; Firefox drops the NUL, and with such an id the line behind it.'

/** What one connection sends and what is dispatched of it. */
const of =
  (section: '9.2.5' | '9.2.6') =>
  (name: string, chunks: string | (string | readonly number[])[], ...expected: Message[]): Case => ({
    section,
    name,
    answers: { '': [stream(...[chunks].flat(1))] },
    scenario: messages('price', 'größe', ' price', 'Price'),
    expected,
  })
const parsing = of('9.2.5')
const interpreting = of('9.2.6')

export const format: readonly Case[] = [
  parsing('one byte order mark at the beginning is dropped', '\uFEFFdata: a\n\n', message('a')),
  {
    section: '9.2.5',
    name: 'a byte order mark that comes in pieces is dropped',
    answers: { '': [{ ...openStream([0xef]), more: [0xbb, 0xbf, ...bytes('data: a\n\ndata: b\n\n')] }] },
    async scenario({ listen, until, requests, meanwhile, more }) {
      const { events } = listen()
      await until(async () => (await requests()).length > 0)
      await meanwhile()
      await more()
      await until(() => events.at(-1)?.data === 'b')
      return events.map(({ data }) => data)
    },
    expected: ['a', 'b'],
    differs: { why: BOM, browsers: { WebKit: ['b'] } },
  },
  parsing('a second byte order mark belongs to the field name', '\uFEFF\uFEFFdata: a\n\ndata: b\n\n', message('b')),
  parsing('a byte order mark later on belongs to the field name', 'data: a\n\n\uFEFFdata: b\n\n', message('a')),
  parsing(
    'lines end with LF, CR LF or CR',
    'data: a\ndata: b\r\ndata: c\rdata: d\r\n\rdata: e\r\r',
    message('a\nb\nc\nd'),
    message('e'),
  ),
  parsing('CR LF is one line end, not two', 'data: a\r\ndata: b\r\n\r\n', message('a\nb')),
  parsing(
    'CR LF is one line end when it comes in two chunks',
    ['data: a\r', '\ndata: b\r', '\n\r', '\n'],
    message('a\nb'),
  ),
  parsing(
    'no other character ends a line',
    'data: a\u2028b\u2029c\u0085d\ve\f\n\n',
    message('a\u2028b\u2029c\u0085d\ve\f'),
  ),
  parsing(
    'a character is whole when its bytes come one by one',
    bytewise('event: größe\r\ndata: 20 €\r\ndata: 😀\r\n\r\n'),
    ['größe', '20 €\n😀', ''],
  ),
  parsing(
    'bytes that are no UTF-8 are replaced',
    [[...bytes('data: a'), 0xff, ...bytes('b'), 0xe2, 0x82, ...bytes('c'), 0xc0, 0x80, 0x0a, 0x0a]],
    message('a\uFFFDb\uFFFDc\uFFFD\uFFFD'),
  ),
  parsing(
    'half a character at the end is dropped with its block',
    [[...bytes('data: a\n\ndata: b'), 0xe2, 0x82]],
    message('a'),
  ),
  {
    ...parsing('a NUL is a character like any other in data', 'data: a\0b\n\n', message('a\0b')),
    differs: { why: NUL, browsers: { Firefox: [message('ab')] } },
  },

  interpreting(
    'one space after the colon is dropped, no more',
    'data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\n',
    ...['a', 'a', ' a', '\ta'].map((data) => message(data)),
  ),
  interpreting('a space before the colon belongs to the field name', 'data : a\n\ndata: b\n\n', message('b')),
  interpreting('a field without a colon has an empty value', 'data\n\ndata\ndata\n\n', message(''), message('\n')),
  interpreting(
    'a field of another name, or in capitals, is ignored',
    'datum: x\nDATA: x\nData: x\n data: x\ndata: a\n\n',
    message('a'),
  ),
  interpreting('a colon in the value stays', 'data: a:b: c\n\ndata::\n\n', message('a:b: c'), message(':')),
  interpreting('a comment is ignored within an event', ': hello\ndata: a\n:data: b\n:\n\n', message('a')),
  interpreting(
    'lines of data are joined with LF, and the last LF is dropped',
    'data: a\ndata:\ndata: b\n\n',
    message('a\n\nb'),
  ),
  interpreting('empty lines of data stay', 'data: a\ndata\ndata:\n\n', message('a\n\n')),
  interpreting(
    'a block without data dispatches nothing',
    'event: price\n\nretry: 1\n\n\n\n:\n\ndata: a\n\n',
    message('a'),
  ),
  interpreting(
    'the type of a block holds for that block',
    'event: price\ndata: a\n\ndata: b\n\n',
    ['price', 'a', ''],
    message('b'),
  ),
  interpreting('the type of a block without data is forgotten', 'event: price\n\ndata: a\n\n', message('a')),
  interpreting(
    'an empty type is message',
    'event: price\nevent:\ndata: a\n\nevent\ndata: b\n\n',
    message('a'),
    message('b'),
  ),
  interpreting('a type may be named message', 'event: message\ndata: a\n\n', message('a')),
  interpreting(
    'a type is taken as it is, but for one space',
    'event:  price\ndata: a\n\nevent: Price\ndata: b\n\n',
    [' price', 'a', ''],
    ['Price', 'b', ''],
  ),
  interpreting('the last of several types and ids counts', 'id: 1\nid: 2\nevent: x\nevent: price\ndata: a\n\n', [
    'price',
    'a',
    '2',
  ]),
  interpreting('the order of the fields of a block is no matter', 'data: a\nevent: price\ndata: b\nid: 1\n\n', [
    'price',
    'a\nb',
    '1',
  ]),
  interpreting(
    'an id holds until the next one',
    'id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\nid\ndata: d\n\ndata: e\n\n',
    message('a', '1'),
    message('b', '1'),
    message('c', '2'),
    message('d'),
    message('e'),
  ),
  {
    ...interpreting(
      'an id of a block without data holds too',
      'id: 1\n\ndata: a\n\nid:\n\ndata: b\n\n',
      message('a', '1'),
      message('b'),
    ),
    differs: { why: ID_ALONE, browsers: { Firefox: [message('a'), message('b')] } },
  },
  {
    ...interpreting(
      'an id with a NUL is ignored',
      'id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n',
      message('a', '1'),
      message('b', '1'),
    ),
    differs: { why: NUL, browsers: { Firefox: [message('a', '1')] } },
  },
  interpreting('an id is taken as it is, but for one space', 'id:  日本 é😀 \ndata: a\n\n', message('a', ' 日本 é😀 ')),
  interpreting('a block that no blank line ends is dropped', 'data: a\n\ndata: b\n', message('a')),
  interpreting('a line that nothing ends is dropped', 'data: a\n\ndata: b', message('a')),
  {
    section: '9.2.6',
    name: 'an event is dispatched at its blank line, whatever ended that',
    answers: { '': [openStream('data: a\n\n', 'data: b\r\n\r\n', 'data: c\r\r')] },
    async scenario({ listen, until }) {
      const { log } = listen()
      await until(() => log.includes('message c'))
      return log
    },
    expected: ['open', 'message a', 'message b', 'message c'],
  },
]

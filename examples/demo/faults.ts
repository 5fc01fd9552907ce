import type { Condition, Stream } from './stream.ts'

/** What the field did to servers. A moment's act, or a condition that lasts until it heals. */
export const faultNames = ['drop', 'unavailable', 'silent', 'missing', 'forgetful', 'garbage', 'flood'] as const
export type Fault = (typeof faultNames)[number]

export interface Faults {
  inflict(fault: Fault): void
  heal(): void
  condition(): Condition
  /** ms until the condition heals by itself; 0 when all is well. */
  healsIn(): number
}

export interface FaultTargets {
  streams: () => readonly Stream[]
  flood: () => void
}

const conditionLasts = 10_000

export function createFaults({ streams, flood }: FaultTargets): Faults {
  let condition: Condition = 'well'
  let healsAt = 0

  const acts: Record<Fault, () => void> = {
    drop: () => onEach((stream) => stream.drop()),
    silent: () => onEach((stream) => stream.mute()),
    garbage: () => onEach((stream) => stream.inject(garbage)),
    flood,
    unavailable: () => fallInto('unavailable'),
    missing: () => fallInto('missing'),
    forgetful: () => fallInto('forgetful'),
  }

  return { inflict: (fault) => acts[fault](), heal, condition: currentCondition, healsIn }

  function fallInto(next: Condition): void {
    condition = next
    healsAt = Date.now() + conditionLasts
    // Only those who connect meet a condition: so everybody has to.
    acts.drop()
  }

  function heal(): void {
    healsAt = 0
    onEach((stream) => stream.dropMuted())
  }

  function currentCondition(): Condition {
    return healsIn() > 0 ? condition : 'well'
  }

  function healsIn(): number {
    return Math.max(0, healsAt - Date.now())
  }

  function onEach(act: (stream: Stream) => void): void {
    for (const stream of streams()) act(stream)
  }
}

/** Without ids: garbage must not move anybody's place in the stream. */
const garbage = [
  'event: join\ndata: {"id": 7, "name": ',
  'event: price\ndata: NaN',
  'event: page\ndata: <!doctype html><title>502 Bad Gateway</title>',
  'event: join\ndata: {"id": null, "name": "<img src=nowhere>"}',
  'event: price\ndata: {"symbol": "OATS", "price": "dear", "at": "noon"}',
  'event: page\ndata: {"n": "many"}',
  'event: gossip\ndata: {"heard": "nobody asked for this type"}',
  'data: [[[[[[',
]
  .map((block) => `${block}\n\n`)
  .join('')

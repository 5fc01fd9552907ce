import { describe, expect, test } from 'vitest'
import { createSwitch } from '../../src/network/switch'
import { MillraceError } from '../../src/primitives/errors'
import { openGate } from '../support/gate'

const off = new MillraceError('disabled', 'switched off')

describe('the switch', () => {
  test('breaks off what is inside, and refuses and counts whatever comes, until it is opened', async () => {
    const { gate, send, calls, counters, clock } = openGate()
    const reasons: unknown[] = []
    gate.enter((reason) => reasons.push(reason))
    const leave = gate.enter(() => reasons.push('had left'))
    leave()
    gate.shut(off)
    expect(reasons).toEqual([off])
    expect(() => gate.enter(() => {})).toThrow(off)
    const refused = send()
    await clock.advance(0)
    expect(refused.outcome).toBe(off)
    expect([counters.refused, calls.length, [...gate.endpoints()]]).toEqual([2, 0, []])
    gate.open()
    gate.enter(() => {})
    send()
    await clock.advance(0)
    expect([counters.refused, calls.length]).toEqual([2, 1])
  })

  test('can break off all that is inside and go on', () => {
    const { gate } = openGate()
    const reasons: unknown[] = []
    const leave = gate.enter((reason) => {
      reasons.push(reason)
      leave()
      gate.enter(() => reasons.push('came later'))
    })
    gate.abortAll(off)
    expect(reasons).toEqual([off])
    gate.enter(() => {})
  })

  test('says when it is shut and opened, once nobody is inside any more', () => {
    const told: unknown[] = []
    const door = createSwitch({ asked: 0, sent: 0, shared: 0, cached: 0, failed: 0, refused: 0 }, (isOpen) =>
      told.push(isOpen),
    )
    door.enter((reason) => told.push(reason))
    door.shut(off)
    door.open()
    expect(told).toEqual([off, false, true])
  })
})

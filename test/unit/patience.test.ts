import { describe, expect, test, vi } from 'vitest'
import { createPatience, DEFAULT_TIMEOUT, wait } from '../../src/network/patience'
import { MillraceError } from '../../src/primitives/errors'
import { NOW, openGate } from '../support/gate'

describe('a wait', () => {
  test('is over when its time has come, and is a timer by its name', async () => {
    const { clock, tracked } = openGate()
    const over = vi.fn()
    wait(tracked, 100, 'nap', new AbortController().signal).then(over)
    expect(tracked.timers()).toEqual([{ label: 'nap', dueAt: NOW + 100 }])
    await clock.advance(99)
    expect(over).not.toHaveBeenCalled()
    await clock.advance(1)
    expect(over).toHaveBeenCalledOnce()
  })

  test('that is aborted rejects with the reason, and leaves no timer', async () => {
    const { tracked } = openGate()
    const controller = new AbortController()
    const nap = wait(tracked, 100, 'nap', controller.signal)
    controller.abort('enough')
    await expect(nap).rejects.toBe('enough')
    expect(tracked.timers()).toEqual([])
  })
})

describe('the patience of a caller', () => {
  const late = new MillraceError('timeout', 'late')
  const off = new MillraceError('disabled', 'switched off')

  function begin(timeout = DEFAULT_TIMEOUT, signal?: AbortSignal) {
    const { gate, clock, tracked, counters } = openGate()
    const start = () => createPatience(tracked, gate.enter, timeout, signal, 'timeout', () => late)
    return { gate, clock, tracked, counters, start }
  }

  test('is over after its time, 15 s if nobody says otherwise', async () => {
    const { clock, tracked, start } = begin()
    const patience = start()
    expect(tracked.timers()).toEqual([{ label: 'timeout', dueAt: NOW + 15_000 }])
    await clock.advance(14_999)
    expect([patience.left(), patience.signal.aborted]).toEqual([1, false])
    await clock.advance(1)
    expect(patience.signal.reason).toBe(late)
  })

  test('that has no end needs no timer', () => {
    const { tracked, start } = begin(Infinity)
    expect(start().left()).toBe(Infinity)
    expect(tracked.timers()).toEqual([])
  })

  test('ends with the signal of its caller, and does not begin after that', () => {
    const controller = new AbortController()
    const { start } = begin(DEFAULT_TIMEOUT, controller.signal)
    const { signal } = start()
    controller.abort('gone')
    expect(signal.reason).toBe('gone')
    expect(start).toThrow('gone')
  })

  test('is broken off by the switch, and at once while that is off', () => {
    const { gate, start, counters } = begin()
    const { signal } = start()
    gate.shut(off)
    expect(signal.reason).toBe(off)
    expect(start().signal.reason).toBe(off)
    expect(counters.refused).toBe(1)
  })

  test('that has ended hears of nothing any more', async () => {
    const controller = new AbortController()
    const { gate, clock, tracked, start } = begin(DEFAULT_TIMEOUT, controller.signal)
    const { signal, end } = start()
    end()
    gate.shut(off)
    controller.abort('gone')
    await clock.advance(DEFAULT_TIMEOUT)
    expect([signal.aborted, tracked.timers()]).toEqual([false, []])
  })
})

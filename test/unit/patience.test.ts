import { describe, expect, test, vi } from 'vitest'
import { wait } from '../../src/network/patience'
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

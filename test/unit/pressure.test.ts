import { afterEach, describe, expect, test, vi } from 'vitest'
import { watchCpu, watchLag } from '../../src/primitives/pressure'

afterEach(() => vi.unstubAllGlobals())

describe('late timers', () => {
  const watch = () => {
    const told: number[] = []
    const { onTimer: tell, isLate } = watchLag(
      () => 100,
      (ms) => told.push(ms),
    )
    let now = 0
    /** One after the other, each due after the one before has come. */
    const onTimer = (lateBy: number) => {
      now += lateBy + 1
      tell(lateBy, now)
    }
    return { told, onTimer, isLate, tell }
  }

  test('are told of when three in a row are', () => {
    const { told, onTimer } = watch()
    for (const late of [150, 200]) onTimer(late)
    expect(told).toEqual([])
    onTimer(250)
    expect(told).toEqual([250])
  })

  test('are not, when one in between is on time', () => {
    const { told, onTimer } = watch()
    for (const late of [150, 200, 3, 150, 200]) onTimer(late)
    expect(told).toEqual([])
  })

  test('are late once, however many were due in one pause', () => {
    const { told, tell } = watch()
    for (const due of [100, 200, 300, 400]) tell(5_000 - due, 5_000)
    expect(told).toEqual([])
  })

  test('are noticed one by one, for who asks', () => {
    const { onTimer, isLate } = watch()
    expect(isLate()).toBe(false)
    onTimer(120)
    expect(isLate()).toBe(true)
    onTimer(3)
    expect(isLate()).toBe(false)
  })

  test('are not, when the machine slept', () => {
    const { told, onTimer } = watch()
    for (const late of [150, 200, 8 * 3_600_000]) onTimer(late)
    expect(told).toEqual([])
  })

  test('are not, in a hidden page, whose timers are slowed on purpose', () => {
    vi.stubGlobal('document', { visibilityState: 'hidden' })
    const { told, onTimer } = watch()
    for (const late of [900, 900, 900]) onTimer(late)
    expect(told).toEqual([])
  })
})

describe('the CPU', () => {
  test('is watched where the browser tells of it, until the stop', () => {
    let report: (records: { state: string }[]) => void = () => {}
    const calls: string[] = []
    vi.stubGlobal(
      'PressureObserver',
      class {
        constructor(callback: typeof report) {
          report = callback
        }
        async observe(source: string) {
          calls.push(source)
        }
        disconnect() {
          calls.push('disconnect')
        }
      },
    )
    let told = 0
    const stop = watchCpu(() => {
      told += 1
    })
    report([{ state: 'serious' }])
    expect(told).toBe(0)
    report([{ state: 'nominal' }, { state: 'critical' }])
    expect(told).toBe(1)
    stop()
    expect(calls).toEqual(['cpu', 'disconnect'])
  })

  test('is left alone where it does not', () => {
    expect(watchCpu(() => {})).toBeTypeOf('function')
  })
})

import { readFileSync } from 'node:fs'

/**
 * Starts a stopwatch of the CPU time that the thread of the event loop takes, in ms: what else the machine does
 * meanwhile does not count. It ticks every few ms, so a round should take some dozens.
 */
export function startCpuTime(): () => number {
  const begin = cpuTime()
  return () => cpuTime() - begin
}

const cpuTime = choose()

function choose(): () => number {
  const { threadCpuUsage } = process as { threadCpuUsage?: typeof process.cpuUsage }
  if (threadCpuUsage) return () => milliseconds(threadCpuUsage.call(process))
  // On Linux the kernel tells it of every thread; the first one has the number of the process.
  const file = `/proc/self/task/${process.pid}/schedstat`
  const read = () => Number(readFileSync(file, 'latin1').split(' ', 1)[0]) / 1e6
  try {
    if (read() > 0) return read
  } catch {
    // Another platform.
  }
  // All threads: what the collector does beside the event loop counts too.
  return () => milliseconds(process.cpuUsage())
}

function milliseconds({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1_000
}

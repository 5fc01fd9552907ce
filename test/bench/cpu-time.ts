/**
 * Starts a stopwatch of the CPU time that this process takes, in ms: what else the machine does meanwhile does not
 * count, while garbage that is collected on another thread does.
 */
export function startCpuTime(): () => number {
  const begin = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(begin)
    return (user + system) / 1_000
  }
}

/**
 * Runs `task` each `intervalMs` until the returned function is called. The timer does not keep the process alive:
 * it must be able to end although nobody stopped the task.
 */
export const everyUnref = (task: () => void, intervalMs: number): (() => void) => {
  const timer = setInterval(task, intervalMs)
  timer.unref()
  return () => clearInterval(timer)
}

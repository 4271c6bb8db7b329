/** What the commands touch of the outside world. Replaced in tests. */
export interface Io {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Whether `heddle.yaml` and the like exist. */
  readonly exists: (path: string) => boolean
  /** All of a file, or of standard input for `-`. */
  readonly read: (path: string) => string
}

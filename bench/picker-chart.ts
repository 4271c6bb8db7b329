/** Bars side by side as SVG, for docs/assets/picker.svg. */

interface Row {
  readonly name: string
  readonly ours: boolean
  readonly hitRate: number
  readonly p50: number
  readonly p99: number
  readonly hotSpot: number
}

const WIDTH = 820
const PANEL = 250
const BAR = 26
const GAP = 12
const LEFT = 20
const TOP = 64

const PANELS: readonly {
  readonly title: string
  readonly note: string
  readonly of: (row: Row) => number
  readonly show: (value: number) => string
}[] = [
  {
    title: 'TTFT p99',
    note: 'lower is better',
    of: (row) => row.p99,
    show: (ms) => `${Math.round(ms)} ms`,
  },
  {
    title: 'Prefix hit rate',
    note: 'higher is better',
    of: (row) => row.hitRate,
    show: (share) => `${(share * 100).toFixed(1)} %`,
  },
  {
    title: 'TTFT p50',
    note: 'lower is better',
    of: (row) => row.p50,
    show: (ms) => `${Math.round(ms)} ms`,
  },
]

const escape = (text: string): string => text.replace(/[<>&"]/g, (char) => `&#${char.charCodeAt(0)};`)

/** Readable on light and dark pages: its background is its own. */
export function chartOf(rows: readonly Row[]): string {
  const height = TOP + rows.length * (BAR + GAP + 16) + 16
  const panels = PANELS.map(({ title, note, of, show }, panel) => {
    const x = LEFT + panel * (PANEL + 16)
    const most = Math.max(...rows.map(of))
    const bars = rows.map((row, i) => {
      const y = TOP + i * (BAR + GAP + 16)
      const width = Math.max(2, (of(row) / most) * (PANEL - 80))
      const fill = row.ours ? '#0f766e' : '#94a3b8'
      return `<text x="${x}" y="${y}" class="n">${escape(row.name)}</text><rect x="${x}" y="${y + 6}" width="${width.toFixed(1)}" height="${BAR}" rx="3" fill="${fill}"/><text x="${(x + width + 8).toFixed(1)}" y="${y + 6 + BAR / 2 + 5}" class="v">${show(of(row))}</text>`
    })
    return `<text x="${x}" y="24" class="t">${title}</text><text x="${x}" y="42" class="n">${note}</text>${bars.join('')}`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Time to first token and prefix hit rate by policy"><style>text{font-family:system-ui,sans-serif;fill:#0f172a}.t{font-size:15px;font-weight:600}.n{font-size:12px;fill:#475569}.v{font-size:13px;font-weight:600}</style><rect width="${WIDTH}" height="${height}" rx="8" fill="#f8fafc"/>${panels.join('')}</svg>\n`
}

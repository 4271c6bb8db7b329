import { hitShare, wrongPerHit, type Result } from './run.ts'

/** Hits against precision as SVG, a panel for each trace, for docs/assets/cache-precision.svg. */
const PANEL_WIDTH = 250
const PANEL_HEIGHT = 220
const LEFT = 52
const TOP = 64
const GAP = 34
/** Precision below this is drawn at the edge: nobody wants to be there. */
const LEAST_PRECISION = 0.5

interface Point {
  readonly name: string
  readonly kind: 'heddle' | 'fixed' | 'entry'
  readonly hits: number
  readonly precision: number
}

const kindOf = (policy: string): Point['kind'] => {
  if (policy.startsWith('Heddle')) return 'heddle'
  return policy.startsWith('cosine') ? 'fixed' : 'entry'
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

function pointsOf(results: readonly Result[]): Point[] {
  const policies = [...new Set(results.map((result) => result.policy))]
  return policies.map((name) => {
    const own = results.filter((result) => result.policy === name)
    return { name, kind: kindOf(name), hits: mean(own.map(hitShare)), precision: 1 - mean(own.map(wrongPerHit)) }
  })
}

const COLOURS = { heddle: '#0f766e', fixed: '#94a3b8', entry: '#b45309' } as const
const LABELS: Readonly<Record<Point['kind'], string>> = {
  heddle: 'Heddle: 1, 2 % of requests, 2 % of hits',
  fixed: 'fixed cosine 0.60, 0.80, 0.90, 0.95',
  entry: 'bound for each entry, 1 % and 2 %',
}

function panelOf(trace: string, results: readonly Result[], place: number): string {
  const x0 = LEFT + place * (PANEL_WIDTH + GAP)
  const points = pointsOf(results).filter((point) => point.hits > 0)
  const most = Math.max(0.1, Math.ceil(Math.max(...points.map((point) => point.hits)) * 10) / 10)
  const x = (hits: number): number => x0 + (hits / most) * PANEL_WIDTH
  const y = (precision: number): number =>
    TOP + ((1 - Math.max(precision, LEAST_PRECISION)) / (1 - LEAST_PRECISION)) * PANEL_HEIGHT
  const grid = [0.5, 0.6, 0.7, 0.8, 0.9, 1].map(
    (p) =>
      `<line x1="${x0}" x2="${x0 + PANEL_WIDTH}" y1="${y(p).toFixed(1)}" y2="${y(p).toFixed(1)}" stroke="#e2e8f0"/>` +
      (place === 0
        ? `<text x="${x0 - 8}" y="${(y(p) + 4).toFixed(1)}" class="n" text-anchor="end">${p * 100} %</text>`
        : ''),
  )
  const line = points
    .filter((point) => point.kind === 'fixed')
    .map((point) => `${x(point.hits).toFixed(1)},${y(point.precision).toFixed(1)}`)
  const dots = points.map(
    ({ kind, hits, precision, name }) =>
      `<circle cx="${x(hits).toFixed(1)}" cy="${y(precision).toFixed(1)}" r="${kind === 'heddle' ? 6 : 4}" fill="${COLOURS[kind]}"><title>${name}</title></circle>`,
  )
  const bottom = TOP + PANEL_HEIGHT
  return `<text x="${x0}" y="${TOP - 14}" class="t">${trace}</text>${grid.join('')}<polyline points="${line.join(' ')}" fill="none" stroke="${COLOURS.fixed}"/>${dots.join('')}<text x="${x0}" y="${bottom + 18}" class="n">0</text><text x="${x0 + PANEL_WIDTH}" y="${bottom + 18}" class="n" text-anchor="end">${Math.round(most * 100)} % hits</text>`
}

/** Readable on light and dark pages: its background is its own. Means of all orders; traces without wrong answers are left out. */
export function precisionChart(results: readonly Result[], traces: readonly string[]): string {
  const width = LEFT + traces.length * (PANEL_WIDTH + GAP)
  const height = TOP + PANEL_HEIGHT + 60
  const panels = traces.map((trace, i) =>
    panelOf(
      trace,
      results.filter((result) => result.trace === trace),
      i,
    ),
  )
  const legend = (['heddle', 'fixed', 'entry'] as const).map((kind, i) => {
    const x = LEFT + i * 300
    return `<circle cx="${x + 5}" cy="${height - 18}" r="5" fill="${COLOURS[kind]}"/><text x="${x + 16}" y="${height - 14}" class="n">${LABELS[kind]}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="Share of requests answered from the cache against share of those answers that are right"><style>text{font-family:system-ui,sans-serif;fill:#0f172a}.t{font-size:15px;font-weight:600}.n{font-size:12px;fill:#475569}</style><rect width="${width}" height="${height}" rx="8" fill="#f8fafc"/><text x="${LEFT}" y="26" class="n">Share of cached answers that are right, against hits</text>${panels.join('')}${legend.join('')}</svg>\n`
}

/** What goes on as it came, bounded: a caller must not fill the headers of every hop behind Heddle. */

const MAX_TRACE_STATE = 4096
const MAX_BAGGAGE = 4096

/** What a header may hold, as far as these formats use it: printable ASCII and tabs. */
function isPrintable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if ((c < 32 && c !== 9) || c > 126) return false
  }
  return true
}

/** `tracestate` verbatim; '' = nothing to pass on. Envoy sends an empty one, which must not go on (W3C 3.3). */
export function carriedState(text: string | undefined): string {
  if (text === undefined || text.length > MAX_TRACE_STATE || !isPrintable(text)) return ''
  return text.trim() === '' ? '' : text
}

/** Members of W3C baggage whose keys are listed, each as it came; '' = none. */
export function carriedBaggage(text: string | undefined, keys: ReadonlySet<string>): string {
  if (text === undefined || keys.size === 0 || text.length > MAX_BAGGAGE || !isPrintable(text)) return ''
  let kept = ''
  for (const member of text.split(',')) {
    const equals = member.indexOf('=')
    if (equals <= 0 || !keys.has(member.slice(0, equals).trim())) continue
    kept += kept === '' ? member.trim() : `,${member.trim()}`
  }
  return kept
}

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { post } from './call-fixture.ts'
import type { Answer } from './answer.ts'
import { FAULTS, parseFaults } from './faults.ts'
import type { Script } from './script.ts'
import { scriptFor, splitInsideCharacters } from './script.ts'

const messages = [{ role: 'user', content: 'capital of France' }]
const stream = (): Answer => post('/v1/chat/completions', { messages, stream: true })
const tools = [{ type: 'function', name: 'get_weather', parameters: {} }]
const responses = (): Answer => post('/v1/responses', { input: 'get_weather', tools, stream: true })

const script = (spec: string, answer = stream()): Script => scriptFor(answer, parseFaults(spec))
const bytesOf = ({ steps }: Script): Buffer =>
  Buffer.concat(steps.flatMap((step) => (step.do === 'write' ? [Buffer.from(step.bytes)] : [])))
const textOf = (made: Script): string => bytesOf(made).toString('utf8')
const contents = (text: string): number => text.match(/"delta":\{"content":"[^"]/g)?.length ?? 0

describe('stream scripts', () => {
  const plain = textOf(script(''))

  it('writes each event on its own and ends with [DONE]', () => {
    expect(plain.endsWith('data: [DONE]\n\n')).toBe(true)
    expect(script('').steps.length).toBe(plain.split('\n\n').length - 1)
  })

  it.each(['error_after', 'cut_stream_after', 'truncated_event', 'stall_after', 'reset_after'])(
    '%s counts content events',
    (name) => {
      for (const count of [0, 1, 3]) {
        const made = script(`${name}=${count}`)
        expect(contents(textOf(made))).toBe(count + (name === 'truncated_event' ? 1 : 0))
        expect(textOf(made)).not.toContain('[DONE]')
        expect(textOf(made)).toContain('"role":"assistant"')
      }
      expect(contents(textOf(script(`${name}=999`)))).toBe(contents(plain) + (name === 'truncated_event' ? 1 : 0))
    },
  )

  it('ends in the way that the fault says', () => {
    expect(script('stall_after=1').steps.at(-1)).toEqual({ do: 'stall' })
    expect(script('reset_after=1').steps.at(-1)).toEqual({ do: 'reset' })
    expect(textOf(script('error_after=1'))).toMatch(
      /data: \{"error":\{"message":"[^"]+","type":"server_error","param":null,"code":"server_error"\}\}\n\n$/,
    )
    const cut = textOf(script('truncated_event=1')).trimEnd().split('data: ').at(-1) ?? ''
    expect(() => JSON.parse(cut) as unknown).toThrow(SyntaxError)
  })

  it('keeps the role chunk before an early error, and the opening events of a response', () => {
    const chat = textOf(script('early_error'))
    expect(contents(chat)).toBe(0)
    expect(chat.indexOf('"role"')).toBeLessThan(chat.indexOf('"error"'))
    const response = textOf(script('early_error', responses()))
    expect(response).toMatch(/^event: response\.created\n/)
    expect(response).toMatch(/event: error\ndata: \{"type":"error"[^\n]+\n\n$/)
    expect(response).not.toContain('response.output_item.added')
  })

  it('drops only the end marker with no_done', () => {
    expect(`${textOf(script('no_done'))}data: [DONE]\n\n`.length).toBe(plain.length)
    expect(textOf(script('no_done'))).toContain('"finish_reason":"stop"')
    expect(textOf(script('no_done', responses()))).not.toContain('response.completed')
  })

  it('doubles, comments, uses CRLF, tears and inflates', () => {
    expect(contents(textOf(script('duplicate_frames')))).toBe(contents(plain) * 2)
    expect(textOf(script('comments')).match(/^: keep-alive$/gm)?.length).toBe(plain.match(/^data:/gm)?.length)
    expect(textOf(script('crlf')).replaceAll('\r\n', '')).not.toContain('\n')
    expect(() => new TextDecoder('utf-8', { fatal: true }).decode(bytesOf(script('torn_utf8')))).toThrow(TypeError)
    expect(textOf(script('huge_event=50000')).length).toBeGreaterThan(plain.length + 50_000)
    expect(textOf(script('annotations_first')).indexOf('prompt_filter_results')).toBeLessThan(200)
    expect(textOf(script('no_choices'))).toContain('"choices":[]')
    expect(contents(textOf(script('no_choices')))).toBe(0)
  })

  it('waits where it should', () => {
    expect(script('delay_first=70').steps[0]).toEqual({ do: 'wait', ms: 70 })
    const waits = script('interval=9').steps.filter((step) => step.do === 'wait')
    expect(waits).toHaveLength(contents(plain) - 1)
  })

  it('has a script for every fault on every kind of answer', () => {
    for (const { name } of FAULTS) {
      for (const answer of [stream(), responses(), post('/v1/chat/completions', { messages })]) {
        expect(scriptFor(answer, parseFaults(name)).status).toBe(200)
      }
    }
  })
})

describe('body scripts', () => {
  const json = (): Answer => post('/v1/chat/completions', { messages })
  const whole = textOf(script('', json()))

  it('frames what it sends', () => {
    for (const spec of ['', 'truncated_json', 'no_choices', 'gzip_body', 'wrong_content_type', 'slow_body=5']) {
      const made = script(spec, json())
      expect(made.headers['content-length']).toBe(String(bytesOf(made).length))
    }
    expect(script('reset_after=1', json()).headers['content-length']).toBe(String(whole.length))
  })

  it('cuts, drops, drips', () => {
    const cut = textOf(script('truncated_json', json()))
    expect(cut.length).toBe(whole.length >> 1)
    expect(JSON.parse(textOf(script('no_choices', json())))).not.toHaveProperty('choices')
    expect(script('slow_body=5', json()).steps.filter((step) => step.do === 'wait')).toHaveLength(15)
    expect(script('stall_after', json()).steps.at(-1)).toEqual({ do: 'stall' })
  })
})

describe('splitInsideCharacters', () => {
  it('loses nothing and never leaves a multi-byte character whole', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 30 }), (text) => {
        const bytes = Buffer.from(text)
        const pieces = splitInsideCharacters(bytes)
        expect(Buffer.concat(pieces).equals(bytes)).toBe(true)
        for (const piece of pieces) expect([...piece].slice(1).every((byte) => (byte & 0xc0) !== 0x80)).toBe(true)
      }),
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ApiError } from './errors.ts'
import { fieldText, parseMultipart } from './multipart.ts'

describe('multipart', () => {
  it('reads what FormData writes, byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.string({ unit: 'grapheme', maxLength: 20 }),
        async (bytes, text) => {
          const form = new FormData()
          form.set('purpose', text)
          form.set('file', new Blob([Uint8Array.from(bytes)], { type: 'audio/wav' }), 'a "b".wav')
          const request = new Request('http://localhost', { method: 'POST', body: form })
          const parts = parseMultipart(
            request.headers.get('content-type') ?? '',
            Buffer.from(await request.arrayBuffer()),
          )
          // FormData turns bare line ends into CRLF.
          expect(fieldText(parts, 'purpose')).toBe(text.replaceAll(/\r\n|\r|\n/g, '\r\n'))
          expect(parts[1]).toMatchObject({ name: 'file', contentType: 'audio/wav' })
          expect(parts[1]?.bytes.equals(Buffer.from(bytes))).toBe(true)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('refuses what is cut off or has no boundary', () => {
    const body = Buffer.from('--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n')
    expect(() => parseMultipart('multipart/form-data; boundary=x', body)).toThrow(ApiError)
    expect(() => parseMultipart('multipart/form-data', body)).toThrow(ApiError)
    expect(() => parseMultipart('application/json', body)).toThrow(ApiError)
  })
})

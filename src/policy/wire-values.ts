import type { JsonObject, JsonValue } from '@bufbuild/protobuf'
import type { WireWriter } from '../protocol/grpc/wire.ts'
import { AppendAction } from '../protocol/grpc/gen/core_pb.ts'

/**
 * envoy.config.core.v3.HeaderValueOption, a flat list of them in one field. bytes: for external processing, where text would arrive empty;
 * external authorization wants text (seen on Envoy 1.40).
 */
export function writeOptions(out: WireWriter, no: number, headers: readonly string[], form: 'bytes' | 'text'): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    const option = out.mark()
    out.number(3, AppendAction.OVERWRITE_IF_EXISTS_OR_ADD)
    const header = out.mark()
    if (form === 'text') out.text(2, headers[i + 1]!)
    else out.latin1(3, headers[i + 1]!)
    out.text(1, headers[i]!)
    out.close(1, header)
    out.close(no, option)
  }
}

export function writeTexts(out: WireWriter, no: number, texts: readonly string[]): void {
  for (let i = texts.length - 1; i >= 0; i--) out.text(no, texts[i]!, true)
}

/** google.protobuf.Struct; its fields come out in the reverse of their order, which means nothing. */
export function writeStruct(out: WireWriter, no: number, object: Readonly<JsonObject>): void {
  const struct = out.mark()
  for (const key in object) {
    const value = object[key]!
    const entry = out.mark()
    const inner = out.mark()
    writeValue(out, value)
    out.close(2, inner)
    out.text(1, key)
    out.close(1, entry)
  }
  out.close(no, struct)
}

/** What is inside of a google.protobuf.Value. */
function writeValue(out: WireWriter, value: JsonValue): void {
  if (typeof value === 'string') out.text(3, value, true)
  else if (typeof value === 'number') out.double(2, value)
  else if (typeof value === 'object' && value !== null && !Array.isArray(value)) writeStruct(out, 5, value)
  else throw new TypeError('metadata is made of texts, numbers and objects')
}

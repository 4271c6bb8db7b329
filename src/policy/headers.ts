import { create } from '@bufbuild/protobuf'
import type { HeaderList } from '../contracts/http.ts'
import {
  AppendAction,
  HeaderValueOptionSchema,
  HeaderValueSchema,
  type HeaderMap,
  type HeaderValueOption,
} from '../protocol/grpc/gen/core_pb.ts'

/** HTTP carries bytes; a value that came as text in a header is Latin-1 (RFC 9110 5.5), as in node:http. */
export const textOf = (raw: Uint8Array): string =>
  Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('latin1')

export const bytesOf = (text: string): Buffer => Buffer.from(text, 'latin1')

/** Flat: name, value. Envoy sends values as bytes to external processors and as text to others. */
export function listOf(map: HeaderMap | undefined): string[] {
  const list: string[] = []
  for (const { key, value, rawValue } of map?.headers ?? [])
    list.push(key, rawValue.length > 0 ? textOf(rawValue) : value)
  return list
}

/** bytes: for external processing, where text would arrive empty; external authorization wants text (seen on Envoy 1.40). */
export function headerOptions(headers: readonly string[], form: 'bytes' | 'text'): HeaderValueOption[] {
  const options: HeaderValueOption[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1]!
    const header = create(
      HeaderValueSchema,
      form === 'text' ? { key: headers[i]!, value } : { key: headers[i]!, rawValue: bytesOf(value) },
    )
    options.push(create(HeaderValueOptionSchema, { header, appendAction: AppendAction.OVERWRITE_IF_EXISTS_OR_ADD }))
  }
  return options
}

/** One of a flat list; undefined = it is not there. */
export function findHeader(list: readonly string[], name: string): string | undefined {
  for (let i = 0; i < list.length; i += 2) if (list[i] === name) return list[i + 1]
  return undefined
}

/** Lower-case names as an object; several of one name as a list. */
export function headerObject(list: readonly string[]): Record<string, string | string[]> {
  const found = Object.create(null) as Record<string, string | string[]>
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!.toLowerCase()
    const before = found[name]
    const value = list[i + 1]!
    found[name] = before === undefined ? value : typeof before === 'string' ? [before, value] : [...before, value]
  }
  return found
}

/** Names of a list, lower case. */
export function namesOf(list: HeaderList): Set<string> {
  const names = new Set<string>()
  for (let i = 0; i < list.length; i += 2) names.add(list[i]!.toLowerCase())
  return names
}

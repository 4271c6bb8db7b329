import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponseSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
  FileDescriptorSetSchema,
  type DescriptorProto,
  type FileDescriptorProto,
} from '@bufbuild/protobuf/wkt'
import protobuf from 'protobufjs'
import descriptor from 'protobufjs/ext/descriptor/index.js'

const home = new URL('../../src/protocol/grpc/proto/', import.meta.url)
const PLUGIN = new URL('../../node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es', import.meta.url)
const WELL_KNOWN = [
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_struct,
  file_google_protobuf_wrappers,
].map(({ proto }) => proto)

type Described = protobuf.Root & { toDescriptor(edition: string): protobuf.Message }

const scopesOf = (scope: string): readonly string[] =>
  scope === '' ? [''] : [scope, ...scopesOf(scope.slice(0, Math.max(0, scope.lastIndexOf('.'))))]

/** Full names of all messages and enums below a scope. */
const namesBelow = (
  scope: string,
  messages: readonly DescriptorProto[],
  enums: readonly { name: string }[],
): string[] => [
  ...enums.map(({ name }) => `${scope}.${name}`),
  ...messages.flatMap((message) => {
    const name = `${scope}.${message.name}`
    return [name, ...namesBelow(name, message.nestedType, message.enumType)]
  }),
]

/** The parser leaves names of types as they were written: each is looked for from its place outwards (protobuf.dev, Language Guide). */
function resolve(messages: readonly DescriptorProto[], scope: string, known: ReadonlySet<string>): void {
  for (const message of messages) {
    const here = `${scope}.${message.name}`
    for (const field of message.field) {
      if (field.typeName === '' || field.typeName.startsWith('.')) continue
      const full = scopesOf(here).map((outer) => (outer === '' ? field.typeName : `${outer}.${field.typeName}`))
      const found = full.find((name) => known.has(name))
      if (found === undefined) throw new Error(`${here}: there is no ${field.typeName}`)
      field.typeName = `.${found}`
    }
    resolve(message.nestedType, here, known)
  }
}

/** The parser tells packages, and not their files: each of ours is one file with one package. */
function asFile(file: FileDescriptorProto, root: protobuf.Root): FileDescriptorProto {
  const name = `${file.package.replace(/^heddle\./, '')}.proto`
  const text = readFileSync(new URL(name, home), 'utf8')
  const dependency = [...text.matchAll(/^import "(.+)";$/gm)].map((found) => found[1]!)
  for (const service of file.service)
    for (const method of service.method) {
      const { requestStream, responseStream } = root.lookupService(`${file.package}.${service.name}`).methods[
        method.name
      ]!
      method.clientStreaming = requestStream === true
      method.serverStreaming = responseStream === true
    }
  return { ...file, name, dependency }
}

/** The messages of the data plane in TypeScript, by file name, from our own `.proto` files. */
export function protoCode(): readonly (readonly [string, string])[] {
  const names = readdirSync(home).toSorted()
  const root = new protobuf.Root()
  root.resolvePath = (_origin, target) => (target.startsWith('google/') ? target : fileURLToPath(new URL(target, home)))
  root.loadSync(names, { keepCase: true })
  root.resolveAll()
  const bytes = descriptor.FileDescriptorSet.encode((root as Described).toDescriptor('proto3')).finish()
  const files = fromBinary(FileDescriptorSetSchema, bytes).file.filter((file) => file.package.startsWith('heddle.'))
  const ours = files.flatMap((file) => namesBelow(file.package, file.messageType, file.enumType))
  const theirs = WELL_KNOWN.flatMap((file) => namesBelow(file.package, file.messageType, file.enumType))
  const known = new Set([...ours, ...theirs])
  for (const file of files) resolve(file.messageType, file.package, known)
  const described = files.map((file) => asFile(file, root))
  // Those that others import come first.
  const order = described.toSorted((a, b) => Number(b.name === 'core.proto') - Number(a.name === 'core.proto'))
  const request = create(CodeGeneratorRequestSchema, {
    fileToGenerate: names,
    parameter: 'target=ts,import_extension=ts,erasable_syntax=true',
    protoFile: [...WELL_KNOWN, ...order],
  })
  const answer = execFileSync(process.execPath, [fileURLToPath(PLUGIN)], {
    input: toBinary(CodeGeneratorRequestSchema, request),
    maxBuffer: 64 * 1024 * 1024,
  })
  const { error, file } = fromBinary(CodeGeneratorResponseSchema, answer)
  if (error !== '') throw new Error(error)
  return file.map(({ name, content }) => [name, content])
}

import {
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageShape,
} from '@bufbuild/protobuf'
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'

/** A message type as grpc-js wants it: bytes in, bytes out. Reading throws what the bytes are when they are not it. */
const coder = <T extends DescMessage>(
  schema: T,
): { readonly write: (value: MessageShape<T>) => Buffer; readonly read: (bytes: Buffer) => MessageShape<T> } => ({
  write: (value) => {
    const bytes = toBinary(schema, value)
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  },
  read: (bytes) => fromBinary(schema, bytes),
})

/** path: full name of the service on the wire, such as `grpc.health.v1.Health`; its messages may have other names here. */
function methodOf(path: string, method: DescMethod): MethodDefinition<unknown, unknown> {
  const input = coder(method.input)
  const output = coder(method.output)
  return {
    path: `/${path}/${method.name}`,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: input.write as (value: unknown) => Buffer,
    requestDeserialize: input.read,
    responseSerialize: output.write as (value: unknown) => Buffer,
    responseDeserialize: output.read,
  }
}

/** What `Server.addService` and `makeGenericClientConstructor` of grpc-js take. Methods by their name in lower camel case. */
export function grpcService(path: string, service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodOf(path, method)]))
}

/** How a server that is called by gRPC is told what its wire says in JSON. Stateless; throws TensorFault for bad answers. */
export interface GrpcCodec {
  /** Path of the method: `/package.Service/Method`. */
  readonly method: string
  /** path, body: as the wire made them. Throws GatewayError for what cannot be said. */
  request(path: string, body: Buffer): Uint8Array
  /** The answer as the wire reads it, JSON. */
  answer(message: Uint8Array): string
}

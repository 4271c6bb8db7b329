/** Codes of gRPC that are used here (grpc.io, Status codes); the library's own table would load all of it. */
export const GRPC = { OK: 0, INVALID_ARGUMENT: 3, RESOURCE_EXHAUSTED: 8, INTERNAL: 13, UNAVAILABLE: 14 } as const

/** An error as grpc-js takes it. The proxy's own fail mode decides what becomes of the request. */
export const grpcError = (code: number, details: string): Error & { readonly code: number; readonly details: string } =>
  Object.assign(new Error(details), { code, details })

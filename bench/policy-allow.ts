/** Child of bench/policy.ts: an external authorization that allows everything, with the same library. What it takes is not Heddle's. */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { create } from '@bufbuild/protobuf'
import { Authorization, CheckResponseSchema } from '../src/protocol/grpc/gen/authz_pb.ts'
import { grpcService } from '../src/protocol/grpc/service.ts'

const allowed = create(CheckResponseSchema, { status: { code: 0 }, httpResponse: { case: 'okResponse', value: {} } })
const server = new Server()
server.addService(grpcService('envoy.service.auth.v3.Authorization', Authorization), {
  check: (_call: unknown, answer: (error: null, response: typeof allowed) => void) => answer(null, allowed),
})
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  process.send!({ port })
})
// The parent is gone: nobody would end this process.
process.on('disconnect', () => process.exit())

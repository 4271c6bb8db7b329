export { createPolicyServer, type PolicyPorts, type PolicyServer } from './server.ts'

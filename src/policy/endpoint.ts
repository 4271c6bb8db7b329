import type { JsonObject } from '@bufbuild/protobuf'
import type { Member, Picked, PickedCall, PickHints, Picker } from '../contracts/cluster.ts'
import type { HeaderList } from '../contracts/http.ts'
import type { ProcessingRequest } from '../protocol/grpc/gen/ext_proc_pb.ts'
import type { Metadata } from '../protocol/grpc/gen/core_pb.ts'
import { headerObject } from './headers.ts'

/** Gateway API Inference Extension, Endpoint Picker Protocol 1.0: header and metadata that name the choice. */
export const DESTINATION = 'x-gateway-destination-endpoint'
const SERVED = 'x-gateway-destination-endpoint-served'
const SUBSET = 'x-gateway-destination-endpoint-subset'
const LB = 'envoy.lb'
const SUBSET_HINT = 'envoy.lb.subset_hint'

const MAX_NAMED = 8
/** Under which Envoy tells attributes that the filter is configured to send. */
export const ATTRIBUTES = 'envoy.filters.http.ext_proc'

/** `a:1,b:2` or a list of them. */
function addressesIn(value: unknown): string[] {
  const text = Array.isArray(value) ? value.filter((v) => typeof v === 'string').join(',') : value
  if (typeof text !== 'string') return []
  return text.split(',').flatMap((part) => (part.trim() === '' ? [] : [part.trim()]))
}

/** Endpoints that the proxy allows; null = all. */
export function subsetOf(metadata: Metadata | undefined): ReadonlySet<string> | null {
  const hint = metadata?.filterMetadata[SUBSET_HINT]?.[SUBSET]
  if (hint === undefined) return null
  return new Set(addressesIn(hint))
}

/** Who answered, by the metadata of the protocol, or by the attribute that Envoy knows of itself. */
function servedBy({ metadataContext, attributes }: ProcessingRequest): string | undefined {
  const [served] = addressesIn(metadataContext?.filterMetadata[LB]?.[SERVED])
  if (served !== undefined) return served
  const told = attributes[ATTRIBUTES]?.['upstream.address']
  return typeof told === 'string' && told !== '' ? told : undefined
}

/** One choice of an endpoint whose call the proxy makes. */
export class EndpointChoice {
  readonly #picked: Picked
  readonly #picker: Picker
  #member: Member
  #call: PickedCall | null

  /** Throws GatewayError as Picker.pick() does. */
  constructor(picker: Picker, hints: PickHints, subset: ReadonlySet<string> | null, now: number) {
    this.#picker = picker
    this.#picked = picker.pick(hints, { subset, now })
    this.#member = this.#picked.members[0]!
    this.#call = picker.begin(this.#member, this.#picked, now)
  }

  /** Best first. */
  get addresses(): string {
    return this.#picked.members
      .slice(0, MAX_NAMED)
      .map(({ address }) => address)
      .join(',')
  }

  /** In both places, as the protocol wants it. */
  get header(): HeaderList {
    return [DESTINATION, this.addresses]
  }

  get metadata(): JsonObject {
    return { [LB]: { [DESTINATION]: this.addresses } }
  }

  /** The head of an answer: whoever served it has the call, if the proxy says who it was. */
  answered(list: HeaderList, message: ProcessingRequest, now: number): void {
    const served = servedBy(message)
    if (served !== undefined && served !== this.#member.address) {
      const other = this.#picked.members.find(({ address }) => address === served)
      if (other !== undefined) {
        // The first could not be reached.
        this.#call?.end('unreachable', now)
        this.#member = other
        this.#call = this.#picker.begin(other, this.#picked, now)
      }
    }
    this.#call?.answered(headerObject(list), now)
  }

  /** Once; later calls do nothing. */
  end(outcome: 'ok' | 'failed' | 'neutral', now: number): void {
    this.#call?.end(outcome, now)
    this.#call = null
  }
}

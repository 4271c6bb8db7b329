/** RFC 9728 section 3.1: the path of the resource follows. */
export const METADATA_PATH = '/.well-known/oauth-protected-resource'

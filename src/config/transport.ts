/** How a server is called: by its URL's scheme. gRPC stands for HTTP/2 in clear, and with TLS as `grpcs`. */
export function transportOf(url: string): { readonly transport: 'http' | 'grpc'; readonly url: string } {
  const found = /^grpc(s?):\/\//i.exec(url)
  if (found === null) return { transport: 'http', url }
  return { transport: 'grpc', url: `http${found[1]!.toLowerCase()}://${url.slice(found[0].length)}` }
}

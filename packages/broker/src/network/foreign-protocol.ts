/**
 * Recognises what people send to the port by mistake, so that the log line says so. These bytes come where
 * the length of the first request is expected, and would be read as an absurd one.
 */
export function foreignProtocol(firstBytes: Uint8Array): string | undefined {
  if (firstBytes[0] === 0x16 && firstBytes[1] === 0x03) {
    return 'it opened with a TLS handshake, but this port speaks the Kafka protocol without TLS'
  }
  const start = Buffer.from(firstBytes.buffer, firstBytes.byteOffset, Math.min(firstBytes.byteLength, 8))
  if (/^(?:GET|POST|PUT|HEAD|DELETE|OPTIONS|PATCH|CONNECT) /.test(`${start.toString('latin1')} `)) {
    return 'it sent an HTTP request, but this port speaks the Kafka protocol'
  }
  return undefined
}

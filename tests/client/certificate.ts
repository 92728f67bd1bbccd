import net from 'node:net'
import { generate } from 'selfsigned'

export interface Certificate {
  readonly cert: string
  readonly private: string
}

export async function certificate(host: string): Promise<Certificate> {
  const isIp = net.isIP(host) !== 0
  return await generate([{ name: 'commonName', value: host }], {
    extensions: [
      { name: 'subjectAltName', altNames: [isIp ? { type: 7, ip: host } : { type: 2, value: host }] },
    ],
  })
}

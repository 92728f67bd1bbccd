import {
  api,
  array,
  bool,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Which APIs and versions a broker serves. v3 is flexible and adds the client's name (KIP-511) and features
 * (KIP-584); the response header stays at v0 in every version, so that any client can read it.
 */
export const apiVersions = api(18, 'ApiVersions', {
  request: message(
    { versions: '0-4', flexible: '3+' },
    {
      clientSoftwareName: string({ versions: '3+', ignorable: true }),
      clientSoftwareVersion: string({ versions: '3+', ignorable: true }),
    },
  ),
  response: message(
    { versions: '0-4', flexible: '3+' },
    {
      errorCode: int16(),
      apiKeys: array({
        apiKey: int16(),
        minVersion: int16(),
        maxVersion: int16(),
      }),
      throttleTimeMs: int32({ versions: '1+', ignorable: true }),
      supportedFeatures: array(
        {
          name: string(),
          minVersion: int16(),
          maxVersion: int16(),
        },
        { versions: '3+', tag: 0, ignorable: true },
      ),
      finalizedFeaturesEpoch: int64({ versions: '3+', tag: 1, default: -1n, ignorable: true }),
      finalizedFeatures: array(
        {
          name: string(),
          maxVersionLevel: int16(),
          minVersionLevel: int16(),
        },
        { versions: '3+', tag: 2, ignorable: true },
      ),
      zkMigrationReady: bool({ versions: '3+', tag: 3, default: false, ignorable: true }),
    },
  ),
})

export type ApiVersionsRequest = Message<typeof apiVersions.request>
export type ApiVersionsResponse = Message<typeof apiVersions.response>
export type ApiVersionsRequestInput = MessageInput<typeof apiVersions.request>
export type ApiVersionsResponseInput = MessageInput<typeof apiVersions.response>

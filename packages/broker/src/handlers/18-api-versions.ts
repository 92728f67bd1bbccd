import {
  type ApiVersionsRequest,
  type ApiVersionsResponseInput,
  apiVersions,
  ErrorCode,
} from '@streambus/protocol'
import { FEATURES, FINALIZED_FEATURES_EPOCH } from '../features.ts'
import type { Handler } from '../handler.ts'

/**
 * ApiVersions (key 18), versions 0–4: which APIs are served, in which versions. A request in a version above
 * these is answered in version 0 with UNSUPPORTED_VERSION and the range of this API (KIP-511); the dispatcher
 * does that. No feature is supported or finalized (KIP-584), since none that has a feature level is served.
 */
type ApiVersion = ApiVersionsResponseInput['apiKeys'][number]

const SOFTWARE_NAMES_SINCE = 3
const FEATURES_SINCE = 3
const FEATURES_FROM_LEVEL_0_SINCE = 4
/** KIP-511's rule for the client's name and version. */
const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?$/

/** @param others every other API's handler */
export function apiVersionsHandler(
  others: readonly Handler[],
): Handler<ApiVersionsRequest, ApiVersionsResponseInput> {
  const handler: Handler<ApiVersionsRequest, ApiVersionsResponseInput> = {
    api: apiVersions,
    minVersion: 0,
    maxVersion: 4,
    handle({ clientSoftwareName, clientSoftwareVersion }, { version }) {
      if (
        version >= SOFTWARE_NAMES_SINCE &&
        !(SOFTWARE_NAME.test(clientSoftwareName) && SOFTWARE_NAME.test(clientSoftwareVersion))
      ) {
        return { errorCode: ErrorCode.INVALID_REQUEST, apiKeys: [] }
      }
      if (version < FEATURES_SINCE) return { errorCode: ErrorCode.NONE, apiKeys }
      return {
        errorCode: ErrorCode.NONE,
        apiKeys,
        supportedFeatures: version < FEATURES_FROM_LEVEL_0_SINCE ? supportedFromLevel1 : supportedFeatures,
        finalizedFeaturesEpoch: FINALIZED_FEATURES_EPOCH,
        finalizedFeatures,
      }
    },
  }
  const apiKeys = advertisedVersions([...others, handler])
  const served = new Set(apiKeys.map(({ apiKey }) => apiKey))
  const features = FEATURES.filter((feature) => feature.apiKeys.every((key) => served.has(key)))
  const supportedFeatures = features.map(({ name, minVersion, maxVersion }) => ({
    name,
    minVersion,
    maxVersion,
  }))
  const supportedFromLevel1 = supportedFeatures.filter(({ minVersion }) => minVersion > 0)
  const finalizedFeatures = features.map(({ name, level }) => ({
    name,
    minVersionLevel: level,
    maxVersionLevel: level,
  }))
  return handler
}

/** The table that clients choose their versions from, ordered by key. */
export function advertisedVersions(handlers: readonly Handler[]): ApiVersion[] {
  return handlers
    .map(({ api, minVersion, maxVersion }) => ({ apiKey: api.key, minVersion, maxVersion }))
    .sort((a, b) => a.apiKey - b.apiKey)
}

/** What the brokers of a cluster agreed on to do: levels of features, described and changed (KIP-584, KIP-778). */
import { apiVersions, updateFeatures } from '@streambus/protocol'
import type { VersionRange } from '../connection.ts'
import { brokerError } from '../errors.ts'
import { version } from '../version.ts'
import { versionFor } from '../version-for.ts'
import { type AdminOptions, type AdminRequests, allSucceeded } from './admin-requests.ts'
import type { ChangeOptions } from './topics.ts'

/** Levels by the name of the feature: `metadata.version`, `transaction.version` and so on (KIP-584). */
export interface FeatureDescription {
  /** What the broker asked can do. */
  readonly supported: Readonly<Record<string, VersionRange>>
  /** What the whole cluster agreed on. */
  readonly finalized: Readonly<Record<string, VersionRange>>
  /** Grows with every change; null where the broker does not tell. */
  readonly epoch: number | null
}

/** A level to go up to, or one to go down to; `unsafe` may lose what the lower level cannot keep. */
export type FeatureLevel = number | { readonly level: number; readonly downgrade: 'safe' | 'unsafe' }

const UpgradeType = { UPGRADE: 1, SAFE_DOWNGRADE: 2, UNSAFE_DOWNGRADE: 3 } as const

export function describeAllFeatures(
  requests: AdminRequests,
  options: AdminOptions,
): Promise<FeatureDescription> {
  return requests.onAnyBroker(options, async (connection) => {
    versionFor(connection, apiVersions, 3, 'tell of features')
    const body = { clientSoftwareName: 'streambus', clientSoftwareVersion: version }
    const answer = await connection.request(apiVersions, body)
    if (answer.errorCode !== 0) throw brokerError(answer.errorCode, 'Cannot describe the features')
    const { supportedFeatures, finalizedFeatures, finalizedFeaturesEpoch: epoch } = answer
    return {
      supported: Object.fromEntries(
        supportedFeatures.map(({ name, minVersion: min, maxVersion: max }) => [name, { min, max }]),
      ),
      finalized: Object.fromEntries(
        finalizedFeatures.map(({ name, minVersionLevel: min, maxVersionLevel: max }) => [name, { min, max }]),
      ),
      epoch: epoch < 0n ? null : Number(epoch),
    }
  })
}

export async function changeFeatures(
  requests: AdminRequests,
  levels: Readonly<Record<string, FeatureLevel>>,
  options: ChangeOptions,
): Promise<void> {
  const changes = Object.entries(levels).map(([feature, level]) =>
    typeof level === 'number'
      ? { feature, level, type: UpgradeType.UPGRADE }
      : {
          feature,
          level: level.level,
          type: level.downgrade === 'unsafe' ? UpgradeType.UNSAFE_DOWNGRADE : UpgradeType.SAFE_DOWNGRADE,
        },
  )
  const results = await requests.onController(options, async (connection) => {
    const isNew =
      options.validateOnly === true || changes.some(({ type }) => type === UpgradeType.UNSAFE_DOWNGRADE)
    const offered = versionFor(connection, updateFeatures, isNew ? 1 : 0, 'only check, or downgrade unsafely')
    const answer = await connection.request(updateFeatures, {
      timeoutMs: requests.brokerTimeoutMs(options),
      featureUpdates: changes.map(({ feature, level, type }) => ({
        feature,
        maxVersionLevel: level,
        ...(offered === 0 ? { allowDowngrade: type !== UpgradeType.UPGRADE } : { upgradeType: type }),
      })),
      ...(offered > 0 && { validateOnly: options.validateOnly ?? false }),
    })
    if (answer.errorCode !== 0) {
      throw brokerError(answer.errorCode, 'Cannot change the features', answer.errorMessage)
    }
    return answer.results
  })
  allSucceeded(
    results.map(({ feature }) => feature),
    results.map(({ feature, errorCode, errorMessage }) =>
      errorCode === 0 ? feature : brokerError(errorCode, `Cannot change feature ${feature}`, errorMessage),
    ),
  )
}

import { compressionNames, loadCodec } from '@streambus/protocol'
import { isCompacted } from '../settings/topic-settings.ts'

/**
 * A producer's batch is checked without waiting, so that batches keep their order. On a compacted topic that
 * takes a look at its keys, so every codec is loaded before there is such a topic.
 */
export async function prepareForCompaction(configs: Readonly<Record<string, string>>): Promise<void> {
  if (isCompacted(configs)) await Promise.all(compressionNames.map(loadCodec))
}

export * from './apis.ts'
export {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OVERHEAD,
  BATCH_MAGIC,
  type BatchHeaderFields,
  type BatchPosition,
  batchCrc,
  batchEndOffset,
  batchesIn,
  batchHeader,
  changeBatchHeader,
  setBaseOffset,
  setLogAppendTime,
  setPartitionLeaderEpoch,
  writeBatchHeader,
} from './batch-header.ts'
export * from './codec.ts'
export {
  type Codec,
  type CompressionName,
  compressionIds,
  compressionNames,
  loadCodec,
  loadedCodec,
} from './compression/codec.ts'
export * from './consumer-protocol.ts'
export * from './control-record.ts'
export * from './coordinator-records/00-transaction-log.ts'
export * from './coordinator-records/01-offset-commit.ts'
export * from './coordinator-records/02-group-metadata.ts'
export * from './coordinator-records/03-consumer-group-metadata.ts'
export * from './coordinator-records/04-consumer-group-partition-metadata.ts'
export * from './coordinator-records/05-consumer-group-member-metadata.ts'
export * from './coordinator-records/06-consumer-group-target-assignment-metadata.ts'
export * from './coordinator-records/07-consumer-group-target-assignment-member.ts'
export * from './coordinator-records/08-consumer-group-current-member-assignment.ts'
export * from './coordinator-records/16-consumer-group-regular-expression.ts'
export {
  type DecodedCoordinatorRecord,
  type DecodedKey,
  decodeCoordinatorKey,
  decodeCoordinatorRecord,
  decodeCoordinatorValue,
  encodeCoordinatorKey,
  encodeCoordinatorValue,
  type RecordFormats,
} from './coordinator-records/coordinator-record.ts'
export * from './coordinator-records/group-records.ts'
export type { RecordFormat } from './coordinator-records/record-format.ts'
export * from './coordinator-records/transaction-records.ts'
export { crc32c } from './crc32c.ts'
export { ErrorCode, type ErrorName, errorByCode, errors, type KafkaError } from './errors.ts'
export { ZERO_UUID } from './field-default.ts'
export { FrameDecoder, type FrameMemory } from './frame-decoder.ts'
export * from './messages/00-produce.ts'
export * from './messages/01-fetch.ts'
export * from './messages/02-list-offsets.ts'
export * from './messages/03-metadata.ts'
export * from './messages/08-offset-commit.ts'
export * from './messages/09-offset-fetch.ts'
export * from './messages/10-find-coordinator.ts'
export * from './messages/11-join-group.ts'
export * from './messages/12-heartbeat.ts'
export * from './messages/13-leave-group.ts'
export * from './messages/14-sync-group.ts'
export * from './messages/15-describe-groups.ts'
export * from './messages/16-list-groups.ts'
export * from './messages/17-sasl-handshake.ts'
export * from './messages/18-api-versions.ts'
export * from './messages/19-create-topics.ts'
export * from './messages/20-delete-topics.ts'
export * from './messages/21-delete-records.ts'
export * from './messages/22-init-producer-id.ts'
export * from './messages/23-offset-for-leader-epoch.ts'
export * from './messages/24-add-partitions-to-txn.ts'
export * from './messages/25-add-offsets-to-txn.ts'
export * from './messages/26-end-txn.ts'
export * from './messages/27-write-txn-markers.ts'
export * from './messages/28-txn-offset-commit.ts'
export * from './messages/29-describe-acls.ts'
export * from './messages/30-create-acls.ts'
export * from './messages/31-delete-acls.ts'
export * from './messages/32-describe-configs.ts'
export * from './messages/33-alter-configs.ts'
export * from './messages/34-alter-replica-log-dirs.ts'
export * from './messages/35-describe-log-dirs.ts'
export * from './messages/36-sasl-authenticate.ts'
export * from './messages/37-create-partitions.ts'
export * from './messages/38-create-delegation-token.ts'
export * from './messages/39-renew-delegation-token.ts'
export * from './messages/40-expire-delegation-token.ts'
export * from './messages/41-describe-delegation-token.ts'
export * from './messages/42-delete-groups.ts'
export * from './messages/43-elect-leaders.ts'
export * from './messages/44-incremental-alter-configs.ts'
export * from './messages/45-alter-partition-reassignments.ts'
export * from './messages/46-list-partition-reassignments.ts'
export * from './messages/47-offset-delete.ts'
export * from './messages/48-describe-client-quotas.ts'
export * from './messages/49-alter-client-quotas.ts'
export * from './messages/50-describe-user-scram-credentials.ts'
export * from './messages/51-alter-user-scram-credentials.ts'
export * from './messages/55-describe-quorum.ts'
export * from './messages/57-update-features.ts'
export * from './messages/60-describe-cluster.ts'
export * from './messages/61-describe-producers.ts'
export * from './messages/64-unregister-broker.ts'
export * from './messages/65-describe-transactions.ts'
export * from './messages/66-list-transactions.ts'
export * from './messages/68-consumer-group-heartbeat.ts'
export * from './messages/69-consumer-group-describe.ts'
export * from './messages/74-list-config-resources.ts'
export { ProtocolError, type ProtocolErrorCode } from './protocol-error.ts'
export {
  type BatchRecords,
  type CheckedRecords,
  checkRecordSection,
  checkRecords,
  decodeRecords,
  encodeRecordBatch,
  type Record,
  type RecordBatchOptions,
  type RecordHeader,
  type RecordInput,
  type RecordSection,
  recordSection,
} from './record-batch.ts'
export { RecordCursor } from './record-cursor.ts'
export type { Api, ExternalBytes, Message, MessageInput, MessageSchema } from './schema.ts'
export { varintBytes, varlongBytes, writeVarint, writeVarlong } from './varint.ts'

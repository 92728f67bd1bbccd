import { offsetCommitRecord } from './01-offset-commit.ts'
import { groupMetadataRecord } from './02-group-metadata.ts'
import { consumerGroupMetadataRecord } from './03-consumer-group-metadata.ts'
import { consumerGroupPartitionMetadataRecord } from './04-consumer-group-partition-metadata.ts'
import { consumerGroupMemberMetadataRecord } from './05-consumer-group-member-metadata.ts'
import { consumerGroupTargetAssignmentMetadataRecord } from './06-consumer-group-target-assignment-metadata.ts'
import { consumerGroupTargetAssignmentMemberRecord } from './07-consumer-group-target-assignment-member.ts'
import { consumerGroupCurrentMemberAssignmentRecord } from './08-consumer-group-current-member-assignment.ts'
import { consumerGroupRegularExpressionRecord } from './16-consumer-group-regular-expression.ts'
import { recordFormats } from './coordinator-record.ts'

/** What `__consumer_offsets` may hold. */
export const groupRecords = recordFormats([
  offsetCommitRecord,
  groupMetadataRecord,
  consumerGroupMetadataRecord,
  consumerGroupPartitionMetadataRecord,
  consumerGroupMemberMetadataRecord,
  consumerGroupTargetAssignmentMetadataRecord,
  consumerGroupTargetAssignmentMemberRecord,
  consumerGroupCurrentMemberAssignmentRecord,
  consumerGroupRegularExpressionRecord,
])

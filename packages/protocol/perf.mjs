var __getOwnPropNames = Object.getOwnPropertyNames;
var __esm = (fn, res, err) => function __init() {
  if (err) throw err[0];
  try {
    return fn && (res = (0, fn[__getOwnPropNames(fn)[0]])(fn = 0)), res;
  } catch (e) {
    throw err = [e], e;
  }
};

// packages/protocol/src/protocol-error.ts
var ProtocolError;
var init_protocol_error = __esm({
  "packages/protocol/src/protocol-error.ts"() {
    "use strict";
    ProtocolError = class _ProtocolError extends Error {
      name = "ProtocolError";
      code;
      /** Where in the bytes, counted from their start, if that is known. */
      position;
      #reason;
      constructor(code, reason, options = {}) {
        const where = options.position === void 0 ? "" : ` at byte ${options.position}`;
        super(reason + where, options.cause === void 0 ? void 0 : { cause: options.cause });
        this.code = code;
        this.position = options.position;
        this.#reason = reason;
      }
      /** The same error, saying also what was being read or written. */
      during(what) {
        return new _ProtocolError(this.code, `${what}: ${this.#reason}`, {
          ...this.position === void 0 ? {} : { position: this.position },
          cause: this
        });
      }
    };
  }
});

// packages/protocol/src/compression/codec.ts
function loadedCodec(id) {
  const codec = loaded[id];
  if (codec !== void 0) return codec;
  if (compressionNames[id] === void 0) throw unknownCodec(id);
  throw new ProtocolError("CODEC_NOT_LOADED", `loadCodec('${compressionNames[id]}') has not been awaited`);
}
function unknownCodec(codec) {
  return new ProtocolError("UNKNOWN_CODEC", `there is no codec ${codec}`);
}
var compressionNames, compressionIds, loaded;
var init_codec = __esm({
  "packages/protocol/src/compression/codec.ts"() {
    "use strict";
    init_protocol_error();
    compressionNames = ["none", "gzip", "snappy", "lz4", "zstd"];
    compressionIds = {
      none: 0,
      gzip: 1,
      snappy: 2,
      lz4: 3,
      zstd: 4
    };
    loaded = [];
  }
});

// packages/protocol/src/schema.ts
function scalar(type) {
  return (options) => ({ type, options: options ?? {}, element: void 0, fields: void 0 });
}
var bool = scalar("bool");
var int8 = scalar("int8");
var int16 = scalar("int16");
var uint16 = scalar("uint16");
var int32 = scalar("int32");
var uint32 = scalar("uint32");
var int64 = scalar("int64");
var float64 = scalar("float64");
var string = scalar("string");
var uuid = (options) => ({
  type: "uuid",
  options: options ?? {},
  element: void 0,
  fields: void 0
});
var bytes = scalar("bytes");
var records = scalar("records");
function struct(fields, options) {
  return { type: "struct", options: options ?? {}, element: void 0, fields };
}
function array(element, options) {
  return {
    type: "array",
    options: options ?? {},
    element: isField(element) ? element : struct(element),
    fields: void 0
  };
}
function isField(element) {
  return typeof element["type"] === "string";
}
function message(annotations, fields) {
  const [minVersion, maxVersion] = parseVersions(annotations.versions);
  const flexibleFrom = annotations.flexible === "none" ? Infinity : parseVersions(annotations.flexible)[0];
  return { minVersion, maxVersion, flexibleFrom, fields };
}
function api(key, name, messages) {
  return { key, name, ...messages };
}
function parseVersions(range) {
  const match = /^(\d+)(?:(\+)|-(\d+))?$/.exec(range);
  if (match === null) throw new TypeError(`not a version range: ${range}`);
  const first = Number(match[1]);
  return [first, match[2] === "+" ? Infinity : Number(match[3] ?? first)];
}
function fieldInVersion(field, version) {
  const { versions, nullable, tag, tagged } = field.options;
  const present = covers(versions, version, true);
  return {
    present,
    nullable: covers(nullable, version, false),
    tag: present && tag !== void 0 && covers(tagged, version, true) ? tag : void 0
  };
}
function covers(range, version, whenAbsent) {
  if (range === void 0) return whenAbsent;
  const [first, last] = parseVersions(range);
  return first <= version && version <= last;
}

// packages/protocol/src/messages/00-produce.ts
var produce = api(0, "Produce", {
  request: message(
    { versions: "3-13", flexible: "9+" },
    {
      transactionalId: string({ nullable: "3+", default: null }),
      acks: int16(),
      timeoutMs: int32(),
      topicData: array({
        name: string({ versions: "3-12", ignorable: true }),
        topicId: uuid({ versions: "13+", ignorable: true }),
        partitionData: array({
          index: int32(),
          records: records({ nullable: "3+" })
        })
      })
    }
  ),
  response: message(
    { versions: "3-13", flexible: "9+" },
    {
      responses: array({
        name: string({ versions: "3-12", ignorable: true }),
        topicId: uuid({ versions: "13+", ignorable: true }),
        partitionResponses: array({
          index: int32(),
          errorCode: int16(),
          baseOffset: int64(),
          logAppendTimeMs: int64({ default: -1n, ignorable: true }),
          logStartOffset: int64({ versions: "5+", default: -1n, ignorable: true }),
          recordErrors: array(
            {
              batchIndex: int32(),
              batchIndexErrorMessage: string({ nullable: "8+", default: null })
            },
            { versions: "8+", ignorable: true }
          ),
          errorMessage: string({ versions: "8+", nullable: "8+", default: null, ignorable: true }),
          currentLeader: struct(
            {
              leaderId: int32({ default: -1 }),
              leaderEpoch: int32({ default: -1 })
            },
            { versions: "10+", tag: 0 }
          )
        })
      }),
      throttleTimeMs: int32({ default: 0, ignorable: true }),
      nodeEndpoints: array(
        {
          nodeId: int32(),
          host: string(),
          port: int32(),
          rack: string({ nullable: "10+", default: null })
        },
        { versions: "10+", tag: 0 }
      )
    }
  )
});

// packages/protocol/src/messages/01-fetch.ts
var fetch = api(1, "Fetch", {
  request: message(
    { versions: "4-18", flexible: "12+" },
    {
      clusterId: string({ versions: "12+", nullable: "12+", tag: 0, default: null, ignorable: true }),
      replicaId: int32({ versions: "4-14", default: -1 }),
      replicaState: struct(
        {
          replicaId: int32({ default: -1 }),
          replicaEpoch: int64({ default: -1n })
        },
        { versions: "15+", tag: 1 }
      ),
      maxWaitMs: int32(),
      minBytes: int32(),
      maxBytes: int32({ default: 2147483647, ignorable: true }),
      isolationLevel: int8({ default: 0, ignorable: true }),
      sessionId: int32({ versions: "7+", default: 0, ignorable: true }),
      sessionEpoch: int32({ versions: "7+", default: -1, ignorable: true }),
      topics: array({
        topic: string({ versions: "4-12", ignorable: true }),
        topicId: uuid({ versions: "13+", ignorable: true }),
        partitions: array({
          partition: int32(),
          currentLeaderEpoch: int32({ versions: "9+", default: -1, ignorable: true }),
          fetchOffset: int64(),
          lastFetchedEpoch: int32({ versions: "12+", default: -1 }),
          logStartOffset: int64({ versions: "5+", default: -1n, ignorable: true }),
          partitionMaxBytes: int32(),
          replicaDirectoryId: uuid({ versions: "17+", tag: 0, ignorable: true }),
          highWatermark: int64({ versions: "18+", tag: 1, default: 0x7fffffffffffffffn, ignorable: true })
        })
      }),
      forgottenTopicsData: array(
        {
          topic: string({ versions: "7-12", ignorable: true }),
          topicId: uuid({ versions: "13+", ignorable: true }),
          partitions: array(int32())
        },
        { versions: "7+" }
      ),
      rackId: string({ versions: "11+", default: "", ignorable: true })
    }
  ),
  response: message(
    { versions: "4-18", flexible: "12+" },
    {
      throttleTimeMs: int32({ ignorable: true }),
      errorCode: int16({ versions: "7+", ignorable: true }),
      sessionId: int32({ versions: "7+", default: 0 }),
      responses: array({
        topic: string({ versions: "4-12", ignorable: true }),
        topicId: uuid({ versions: "13+", ignorable: true }),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
          highWatermark: int64(),
          lastStableOffset: int64({ default: -1n, ignorable: true }),
          logStartOffset: int64({ versions: "5+", default: -1n, ignorable: true }),
          divergingEpoch: struct(
            {
              epoch: int32({ default: -1 }),
              endOffset: int64({ default: -1n })
            },
            { versions: "12+", tag: 0 }
          ),
          currentLeader: struct(
            {
              leaderId: int32({ default: -1 }),
              leaderEpoch: int32({ default: -1 })
            },
            { versions: "12+", tag: 1 }
          ),
          snapshotId: struct(
            {
              endOffset: int64({ default: -1n }),
              epoch: int32({ default: -1 })
            },
            { versions: "12+", tag: 2 }
          ),
          abortedTransactions: array(
            {
              producerId: int64(),
              firstOffset: int64()
            },
            { nullable: "4+", ignorable: true }
          ),
          preferredReadReplica: int32({ versions: "11+", default: -1 }),
          records: records({ nullable: "4+" })
        })
      }),
      nodeEndpoints: array(
        {
          nodeId: int32(),
          host: string(),
          port: int32(),
          rack: string({ nullable: "16+", default: null })
        },
        { versions: "16+", tag: 0 }
      )
    }
  )
});

// packages/protocol/src/messages/02-list-offsets.ts
var listOffsets = api(2, "ListOffsets", {
  request: message(
    { versions: "0-11", flexible: "6+" },
    {
      replicaId: int32(),
      isolationLevel: int8({ versions: "2+" }),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          currentLeaderEpoch: int32({ versions: "4+", default: -1, ignorable: true }),
          timestamp: int64(),
          maxNumOffsets: int32({ versions: "0", default: 1 })
        })
      }),
      timeoutMs: int32({ versions: "10+", ignorable: true })
    }
  ),
  response: message(
    { versions: "0-11", flexible: "6+" },
    {
      throttleTimeMs: int32({ versions: "2+", ignorable: true }),
      topics: array({
        name: string(),
        partitions: array({
          partitionIndex: int32(),
          errorCode: int16(),
          oldStyleOffsets: array(int64(), { versions: "0" }),
          timestamp: int64({ versions: "1+", default: -1n }),
          offset: int64({ versions: "1+", default: -1n }),
          leaderEpoch: int32({ versions: "4+", default: -1 })
        })
      })
    }
  )
});

// packages/protocol/src/messages/03-metadata.ts
var metadata = api(3, "Metadata", {
  request: message(
    { versions: "0-13", flexible: "9+" },
    {
      topics: array(
        {
          topicId: uuid({ versions: "10+", ignorable: true }),
          name: string({ nullable: "10+" })
        },
        { nullable: "1+" }
      ),
      allowAutoTopicCreation: bool({ versions: "4+", default: true }),
      includeClusterAuthorizedOperations: bool({ versions: "8-10" }),
      includeTopicAuthorizedOperations: bool({ versions: "8+" })
    }
  ),
  response: message(
    { versions: "0-13", flexible: "9+" },
    {
      throttleTimeMs: int32({ versions: "3+", ignorable: true }),
      brokers: array({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: string({ versions: "1+", nullable: "1+", default: null, ignorable: true })
      }),
      clusterId: string({ versions: "2+", nullable: "2+", default: null, ignorable: true }),
      controllerId: int32({ versions: "1+", default: -1, ignorable: true }),
      topics: array({
        errorCode: int16(),
        name: string({ nullable: "12+" }),
        topicId: uuid({ versions: "10+", ignorable: true }),
        isInternal: bool({ versions: "1+", default: false, ignorable: true }),
        partitions: array({
          errorCode: int16(),
          partitionIndex: int32(),
          leaderId: int32(),
          leaderEpoch: int32({ versions: "7+", default: -1, ignorable: true }),
          replicaNodes: array(int32()),
          isrNodes: array(int32()),
          offlineReplicas: array(int32(), { versions: "5+", ignorable: true })
        }),
        topicAuthorizedOperations: int32({ versions: "8+", default: -2147483648 })
      }),
      clusterAuthorizedOperations: int32({ versions: "8-10", default: -2147483648 }),
      errorCode: int16({ versions: "13+", ignorable: true })
    }
  )
});

// packages/protocol/src/messages/18-api-versions.ts
var apiVersions = api(18, "ApiVersions", {
  request: message(
    { versions: "0-4", flexible: "3+" },
    {
      clientSoftwareName: string({ versions: "3+", ignorable: true }),
      clientSoftwareVersion: string({ versions: "3+", ignorable: true })
    }
  ),
  response: message(
    { versions: "0-4", flexible: "3+" },
    {
      errorCode: int16(),
      apiKeys: array({
        apiKey: int16(),
        minVersion: int16(),
        maxVersion: int16()
      }),
      throttleTimeMs: int32({ versions: "1+", ignorable: true }),
      supportedFeatures: array(
        {
          name: string(),
          minVersion: int16(),
          maxVersion: int16()
        },
        { versions: "3+", tag: 0, ignorable: true }
      ),
      finalizedFeaturesEpoch: int64({ versions: "3+", tag: 1, default: -1n, ignorable: true }),
      finalizedFeatures: array(
        {
          name: string(),
          maxVersionLevel: int16(),
          minVersionLevel: int16()
        },
        { versions: "3+", tag: 2, ignorable: true }
      ),
      zkMigrationReady: bool({ versions: "3+", tag: 3, default: false, ignorable: true })
    }
  )
});

// packages/protocol/src/messages/19-create-topics.ts
var createTopics = api(19, "CreateTopics", {
  request: message(
    { versions: "0-7", flexible: "5+" },
    {
      topics: array({
        name: string(),
        numPartitions: int32(),
        replicationFactor: int16(),
        assignments: array({
          partitionIndex: int32(),
          brokerIds: array(int32())
        }),
        configs: array({
          name: string(),
          value: string({ nullable: "0+" })
        })
      }),
      timeoutMs: int32({ default: 6e4 }),
      validateOnly: bool({ versions: "1+", default: false })
    }
  ),
  response: message(
    { versions: "0-7", flexible: "5+" },
    {
      throttleTimeMs: int32({ versions: "2+", ignorable: true }),
      topics: array({
        name: string(),
        topicId: uuid({ versions: "7+", ignorable: true }),
        errorCode: int16(),
        errorMessage: string({ versions: "1+", nullable: "1+", ignorable: true }),
        topicConfigErrorCode: int16({ versions: "5+", tag: 0, ignorable: true }),
        numPartitions: int32({ versions: "5+", default: -1, ignorable: true }),
        replicationFactor: int16({ versions: "5+", default: -1, ignorable: true }),
        configs: array(
          {
            name: string(),
            value: string({ nullable: "5+" }),
            readOnly: bool(),
            configSource: int8({ default: -1, ignorable: true }),
            isSensitive: bool()
          },
          { versions: "5+", nullable: "5+", ignorable: true }
        )
      })
    }
  )
});

// packages/protocol/src/messages/20-delete-topics.ts
var deleteTopics = api(20, "DeleteTopics", {
  request: message(
    { versions: "0-6", flexible: "4+" },
    {
      topics: array(
        {
          name: string({ nullable: "6+", default: null }),
          topicId: uuid()
        },
        { versions: "6+" }
      ),
      topicNames: array(string(), { versions: "0-5", ignorable: true }),
      timeoutMs: int32()
    }
  ),
  response: message(
    { versions: "0-6", flexible: "4+" },
    {
      throttleTimeMs: int32({ versions: "1+", ignorable: true }),
      responses: array({
        name: string({ nullable: "6+" }),
        topicId: uuid({ versions: "6+", ignorable: true }),
        errorCode: int16(),
        errorMessage: string({ versions: "5+", nullable: "5+", default: null, ignorable: true })
      })
    }
  )
});

// packages/protocol/src/messages/22-init-producer-id.ts
var initProducerId = api(22, "InitProducerId", {
  request: message(
    { versions: "0-5", flexible: "2+" },
    {
      transactionalId: string({ nullable: "0+" }),
      transactionTimeoutMs: int32(),
      producerId: int64({ versions: "3+", default: -1n }),
      producerEpoch: int16({ versions: "3+", default: -1 })
    }
  ),
  response: message(
    { versions: "0-5", flexible: "2+" },
    {
      throttleTimeMs: int32({ ignorable: true }),
      errorCode: int16(),
      producerId: int64({ default: -1n }),
      producerEpoch: int16()
    }
  )
});

// packages/protocol/src/messages/23-offset-for-leader-epoch.ts
var offsetForLeaderEpoch = api(23, "OffsetForLeaderEpoch", {
  request: message(
    { versions: "2-4", flexible: "4+" },
    {
      replicaId: int32({ versions: "3+", default: -2, ignorable: true }),
      topics: array({
        topic: string(),
        partitions: array({
          partition: int32(),
          currentLeaderEpoch: int32({ default: -1, ignorable: true }),
          leaderEpoch: int32()
        })
      })
    }
  ),
  response: message(
    { versions: "2-4", flexible: "4+" },
    {
      throttleTimeMs: int32({ ignorable: true }),
      topics: array({
        topic: string(),
        partitions: array({
          errorCode: int16(),
          partition: int32(),
          leaderEpoch: int32({ default: -1, ignorable: true }),
          endOffset: int64({ default: -1n })
        })
      })
    }
  )
});

// packages/protocol/src/messages/32-describe-configs.ts
var describeConfigs = api(32, "DescribeConfigs", {
  request: message(
    { versions: "0-4", flexible: "4+" },
    {
      resources: array({
        resourceType: int8(),
        resourceName: string(),
        configurationKeys: array(string(), { nullable: "0+" })
      }),
      includeSynonyms: bool({ versions: "1+", default: false }),
      includeDocumentation: bool({ versions: "3+", default: false })
    }
  ),
  response: message(
    { versions: "0-4", flexible: "4+" },
    {
      throttleTimeMs: int32(),
      results: array({
        errorCode: int16(),
        errorMessage: string({ nullable: "0+" }),
        resourceType: int8(),
        resourceName: string(),
        configs: array({
          name: string(),
          value: string({ nullable: "0+" }),
          readOnly: bool(),
          isDefault: bool({ versions: "0" }),
          configSource: int8({ versions: "1+", default: -1, ignorable: true }),
          isSensitive: bool(),
          synonyms: array(
            {
              name: string(),
              value: string({ nullable: "1+" }),
              source: int8()
            },
            { versions: "1+", ignorable: true }
          ),
          configType: int8({ versions: "3+", default: 0, ignorable: true }),
          documentation: string({ versions: "3+", nullable: "3+", ignorable: true })
        })
      })
    }
  )
});

// packages/protocol/src/messages/33-alter-configs.ts
var alterConfigs = api(33, "AlterConfigs", {
  request: message(
    { versions: "0-2", flexible: "2+" },
    {
      resources: array({
        resourceType: int8(),
        resourceName: string(),
        configs: array({
          name: string(),
          value: string({ nullable: "0+" })
        })
      }),
      validateOnly: bool()
    }
  ),
  response: message(
    { versions: "0-2", flexible: "2+" },
    {
      throttleTimeMs: int32(),
      responses: array({
        errorCode: int16(),
        errorMessage: string({ nullable: "0+" }),
        resourceType: int8(),
        resourceName: string()
      })
    }
  )
});

// packages/protocol/src/messages/35-describe-log-dirs.ts
var describeLogDirs = api(35, "DescribeLogDirs", {
  request: message(
    { versions: "0-4", flexible: "2+" },
    {
      topics: array(
        {
          topic: string(),
          partitions: array(int32())
        },
        { nullable: "0+" }
      )
    }
  ),
  response: message(
    { versions: "0-4", flexible: "2+" },
    {
      throttleTimeMs: int32(),
      errorCode: int16({ versions: "3+", ignorable: true }),
      results: array({
        errorCode: int16(),
        logDir: string(),
        topics: array({
          name: string(),
          partitions: array({
            partitionIndex: int32(),
            partitionSize: int64(),
            offsetLag: int64(),
            isFutureKey: bool()
          })
        }),
        totalBytes: int64({ versions: "4+", default: -1n, ignorable: true }),
        usableBytes: int64({ versions: "4+", default: -1n, ignorable: true })
      })
    }
  )
});

// packages/protocol/src/messages/37-create-partitions.ts
var createPartitions = api(37, "CreatePartitions", {
  request: message(
    { versions: "0-3", flexible: "2+" },
    {
      topics: array({
        name: string(),
        count: int32(),
        assignments: array(
          {
            brokerIds: array(int32())
          },
          { nullable: "0+" }
        )
      }),
      timeoutMs: int32(),
      validateOnly: bool()
    }
  ),
  response: message(
    { versions: "0-3", flexible: "2+" },
    {
      throttleTimeMs: int32(),
      results: array({
        name: string(),
        errorCode: int16(),
        errorMessage: string({ nullable: "0+", default: null })
      })
    }
  )
});

// packages/protocol/src/messages/44-incremental-alter-configs.ts
var incrementalAlterConfigs = api(44, "IncrementalAlterConfigs", {
  request: message(
    { versions: "0-1", flexible: "1+" },
    {
      resources: array({
        resourceType: int8(),
        resourceName: string(),
        configs: array({
          name: string(),
          configOperation: int8(),
          value: string({ nullable: "0+" })
        })
      }),
      validateOnly: bool()
    }
  ),
  response: message(
    { versions: "0-1", flexible: "1+" },
    {
      throttleTimeMs: int32(),
      responses: array({
        errorCode: int16(),
        errorMessage: string({ nullable: "0+" }),
        resourceType: int8(),
        resourceName: string()
      })
    }
  )
});

// packages/protocol/src/messages/60-describe-cluster.ts
var describeCluster = api(60, "DescribeCluster", {
  request: message(
    { versions: "0-2", flexible: "0+" },
    {
      includeClusterAuthorizedOperations: bool(),
      endpointType: int8({ versions: "1+", default: 1 }),
      includeFencedBrokers: bool({ versions: "2+" })
    }
  ),
  response: message(
    { versions: "0-2", flexible: "0+" },
    {
      throttleTimeMs: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: "0+", default: null }),
      endpointType: int8({ versions: "1+", default: 1 }),
      clusterId: string(),
      controllerId: int32({ default: -1 }),
      brokers: array({
        brokerId: int32(),
        host: string(),
        port: int32(),
        rack: string({ nullable: "0+", default: null }),
        isFenced: bool({ versions: "2+" })
      }),
      clusterAuthorizedOperations: int32({ default: -2147483648 })
    }
  )
});

// packages/protocol/src/apis.ts
var apis = [
  produce,
  fetch,
  listOffsets,
  metadata,
  apiVersions,
  createTopics,
  deleteTopics,
  initProducerId,
  offsetForLeaderEpoch,
  describeConfigs,
  alterConfigs,
  describeLogDirs,
  createPartitions,
  incrementalAlterConfigs,
  describeCluster
];
var byKey = new Map(apis.map((api2) => [api2.key, api2]));
function apiByKey(key) {
  return byKey.get(key);
}

// packages/protocol/src/crc32c.ts
import { createRequire } from "node:module";
var minNativeBytes = 200;
var native;
function crc32c(bytes2, seed = 0) {
  if (bytes2.length < minNativeBytes) return crc32cPortable(bytes2, seed);
  if (native === void 0) native = loadNativeCrc32c();
  return native === null ? crc32cPortable(bytes2, seed) : native(bytes2, seed);
}
function loadNativeCrc32c() {
  try {
    return createRequire(import.meta.url)("@node-rs/crc32").crc32c;
  } catch {
    return null;
  }
}
var tables = makeTables();
function makeTables() {
  const polynomial = 2197175160;
  const made = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ ((crc & 1) === 0 ? 0 : polynomial);
    made[byte] = crc;
  }
  for (let i = 256; i < made.length; i++) {
    const previous = made[i - 256];
    made[i] = previous >>> 8 ^ made[previous & 255];
  }
  return made;
}
function crc32cPortable(bytes2, seed = 0) {
  const t = tables;
  const length = bytes2.length;
  const sliced = length - length % 8;
  let crc = ~seed;
  let i = 0;
  while (i < sliced) {
    crc ^= bytes2[i] | bytes2[i + 1] << 8 | bytes2[i + 2] << 16 | bytes2[i + 3] << 24;
    crc = t[1792 + (crc & 255)] ^ t[1536 + (crc >>> 8 & 255)] ^ t[1280 + (crc >>> 16 & 255)] ^ t[1024 + (crc >>> 24)] ^ t[768 + bytes2[i + 4]] ^ t[512 + bytes2[i + 5]] ^ t[256 + bytes2[i + 6]] ^ t[bytes2[i + 7]];
    i += 8;
  }
  while (i < length) crc = crc >>> 8 ^ t[(crc ^ bytes2[i++]) & 255];
  return ~crc >>> 0;
}

// packages/protocol/src/batch-header.ts
var BATCH_HEADER_BYTES = 61;
var BATCH_LENGTH_OVERHEAD = 12;
var BATCH_MAGIC = 2;
var crcOffset = 17;
var attributesOffset = 21;
var maxTimestampOffset = 35;
var codecMask = 7;
var logAppendTimeBit = 8;
var transactionalBit = 16;
var controlBit = 32;
var batchHeader = {
  baseOffset: (bytes2, position) => readInt64(bytes2, position),
  batchLength: (bytes2, position) => readInt32(bytes2, position + 8),
  /** Whole size of the batch in bytes, its first two fields included. */
  byteLength: (bytes2, position) => readInt32(bytes2, position + 8) + BATCH_LENGTH_OVERHEAD,
  partitionLeaderEpoch: (bytes2, position) => readInt32(bytes2, position + 12),
  magic: (bytes2, position) => bytes2[position + 16] << 24 >> 24,
  crc: (bytes2, position) => readInt32(bytes2, position + crcOffset) >>> 0,
  attributes: (bytes2, position) => readInt16(bytes2, position + attributesOffset),
  /** Codec id: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
  codec: (bytes2, position) => bytes2[position + attributesOffset + 1] & codecMask,
  isLogAppendTime: (bytes2, position) => (bytes2[position + attributesOffset + 1] & logAppendTimeBit) !== 0,
  isTransactional: (bytes2, position) => (bytes2[position + attributesOffset + 1] & transactionalBit) !== 0,
  isControl: (bytes2, position) => (bytes2[position + attributesOffset + 1] & controlBit) !== 0,
  lastOffsetDelta: (bytes2, position) => readInt32(bytes2, position + 23),
  baseTimestamp: (bytes2, position) => readInt64(bytes2, position + 27),
  maxTimestamp: (bytes2, position) => readInt64(bytes2, position + maxTimestampOffset),
  producerId: (bytes2, position) => readInt64(bytes2, position + 43),
  producerEpoch: (bytes2, position) => readInt16(bytes2, position + 51),
  baseSequence: (bytes2, position) => readInt32(bytes2, position + 53),
  recordCount: (bytes2, position) => readInt32(bytes2, position + 57)
};
function writeBatchHeader(bytes2, position, fields) {
  writeInt64(bytes2, position, fields.baseOffset);
  writeInt32(bytes2, position + 8, fields.batchLength);
  writeInt32(bytes2, position + 12, fields.partitionLeaderEpoch);
  bytes2[position + 16] = BATCH_MAGIC;
  const attributes = fields.codec | (fields.logAppendTime ? logAppendTimeBit : 0) | (fields.transactional ? transactionalBit : 0) | (fields.control ? controlBit : 0);
  writeInt16(bytes2, position + attributesOffset, attributes);
  writeInt32(bytes2, position + 23, fields.lastOffsetDelta);
  writeInt64(bytes2, position + 27, fields.baseTimestamp);
  writeInt64(bytes2, position + maxTimestampOffset, fields.maxTimestamp);
  writeInt64(bytes2, position + 43, fields.producerId);
  writeInt16(bytes2, position + 51, fields.producerEpoch);
  writeInt32(bytes2, position + 53, fields.baseSequence);
  writeInt32(bytes2, position + 57, fields.recordCount);
  writeCrc(bytes2, position, fields.batchLength + BATCH_LENGTH_OVERHEAD);
}
function batchCrc(bytes2, position, totalLength) {
  return crc32c(bytes2.subarray(position + attributesOffset, position + totalLength));
}
function writeCrc(bytes2, position, totalLength) {
  writeInt32(bytes2, position + crcOffset, batchCrc(bytes2, position, totalLength));
}
function readInt16(bytes2, at) {
  return bytes2[at] << 24 >> 16 | bytes2[at + 1];
}
function readInt32(bytes2, at) {
  return bytes2[at] << 24 | bytes2[at + 1] << 16 | bytes2[at + 2] << 8 | bytes2[at + 3];
}
function readInt64(bytes2, at) {
  return readInt32(bytes2, at) * 4294967296 + (readInt32(bytes2, at + 4) >>> 0);
}
function writeInt16(bytes2, at, value) {
  bytes2[at] = value >> 8;
  bytes2[at + 1] = value;
}
function writeInt32(bytes2, at, value) {
  bytes2[at] = value >> 24;
  bytes2[at + 1] = value >> 16;
  bytes2[at + 2] = value >> 8;
  bytes2[at + 3] = value;
}
function writeInt64(bytes2, at, value) {
  writeInt32(bytes2, at, Math.floor(value / 4294967296));
  writeInt32(bytes2, at + 4, value | 0);
}

// packages/protocol/src/byte-reader.ts
init_protocol_error();
var maxArrayElements = 2 ** 21;
var ByteReader = class {
  bytes;
  position;
  end;
  /** The field being read, for error messages. */
  field = "";
  #view;
  #elementsLeft = maxArrayElements;
  constructor(bytes2, position = 0) {
    this.bytes = asBuffer(bytes2);
    this.position = position;
    this.end = bytes2.length;
    this.#view = new DataView(bytes2.buffer, bytes2.byteOffset, bytes2.length);
  }
  get remaining() {
    return this.end - this.position;
  }
  /** Moves past `length` bytes and returns where they begin. */
  take(length) {
    const start = this.position;
    if (length > this.end - start) {
      throw new ProtocolError("TRUNCATED", `${length} bytes expected, ${this.end - start} left`, {
        position: start
      });
    }
    this.position = start + length;
    return start;
  }
  bool() {
    return this.bytes[this.take(1)] !== 0;
  }
  int8() {
    return this.#view.getInt8(this.take(1));
  }
  int16() {
    return this.#view.getInt16(this.take(2));
  }
  uint16() {
    return this.#view.getUint16(this.take(2));
  }
  int32() {
    return this.#view.getInt32(this.take(4));
  }
  uint32() {
    return this.#view.getUint32(this.take(4));
  }
  int64() {
    return this.#view.getBigInt64(this.take(8));
  }
  float64() {
    return this.#view.getFloat64(this.take(8));
  }
  uuid() {
    const start = this.take(16);
    return this.bytes.toString("base64url", start, start + 16);
  }
  /** At most five bytes, 32 bits. */
  unsignedVarint() {
    const start = this.position;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes[this.take(1)];
      if (shift === 28 && byte > 15) break;
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    throw new ProtocolError("INVALID_VALUE", "varint longer than 32 bits", { position: start });
  }
  /** Length of a string; -1 for null. */
  stringLength(flexible) {
    return flexible ? this.unsignedVarint() - 1 : this.int16();
  }
  /** Length of bytes, records or an array; -1 for null. */
  length(flexible) {
    return flexible ? this.unsignedVarint() - 1 : this.int32();
  }
  text(length) {
    const start = this.take(length);
    return this.bytes.toString("utf8", start, start + length);
  }
  view(length) {
    const start = this.take(length);
    return this.bytes.subarray(start, start + length);
  }
  /** Refuses an array whose elements cannot fit in what is left, before anything is allocated for it. */
  expectElements(count, minElementBytes) {
    if (count * minElementBytes > this.end - this.position) {
      throw new ProtocolError("INVALID_LENGTH", `array of ${count} elements in ${this.remaining} bytes`, {
        position: this.position
      });
    }
    this.#elementsLeft -= count;
    if (this.#elementsLeft < 0) {
      throw new ProtocolError("INVALID_LENGTH", `more than ${maxArrayElements} array elements`, {
        position: this.position
      });
    }
  }
  /** Tagged fields of a section none of whose tags are known (KIP-482). */
  skipTaggedFields() {
    const count = this.unsignedVarint();
    for (let i = 0; i < count; i++) {
      this.unsignedVarint();
      this.take(this.unsignedVarint());
    }
  }
};
function asBuffer(bytes2) {
  return Buffer.isBuffer(bytes2) ? bytes2 : Buffer.from(bytes2.buffer, bytes2.byteOffset, bytes2.byteLength);
}

// packages/protocol/src/byte-writer.ts
init_protocol_error();
var minSeparatePartBytes = 4096;
var initialCapacityBytes = 16 * 1024;
var maxKeptCapacityBytes = 1024 * 1024;
var maxInt16 = 32767;
var maxInt32 = 2147483647;
var minInt64 = -(2n ** 63n);
var maxInt64 = 2n ** 63n - 1n;
var ByteWriter = class {
  position = 0;
  /** The field being written, for error messages. */
  field = "";
  #bytes = Buffer.allocUnsafeSlow(initialCapacityBytes);
  #view = new DataView(this.#bytes.buffer);
  /** Where in the scratch memory a separate part has its place, and that part. */
  #separate = [];
  #separateBytes = 0;
  reset() {
    this.position = 0;
    this.field = "";
    this.#separate = [];
    this.#separateBytes = 0;
    if (this.#bytes.length > maxKeptCapacityBytes) this.#allocate(initialCapacityBytes);
  }
  /** Bytes written so far, separate parts included. */
  get byteLength() {
    return this.position + this.#separateBytes;
  }
  #allocate(capacityBytes) {
    this.#bytes = Buffer.allocUnsafeSlow(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }
  /** Moves past `length` bytes, making room for them, and returns where they begin. */
  #advance(length) {
    const start = this.position;
    const end = start + length;
    if (end > this.#bytes.length) {
      const full = this.#bytes;
      this.#allocate(Math.max(end, full.length * 2));
      full.copy(this.#bytes, 0, 0, start);
    }
    this.position = end;
    return start;
  }
  bool(value) {
    this.#bytes[this.#advance(1)] = value ? 1 : 0;
  }
  int8(value) {
    if (value << 24 >> 24 !== value) throw outOfRange("int8", value);
    this.#bytes[this.#advance(1)] = value;
  }
  int16(value) {
    if (value << 16 >> 16 !== value) throw outOfRange("int16", value);
    const at = this.#advance(2);
    this.#view.setInt16(at, value);
  }
  uint16(value) {
    if ((value & 65535) !== value) throw outOfRange("uint16", value);
    const at = this.#advance(2);
    this.#view.setUint16(at, value);
  }
  int32(value) {
    if ((value | 0) !== value) throw outOfRange("int32", value);
    const at = this.#advance(4);
    this.#view.setInt32(at, value);
  }
  uint32(value) {
    if (value >>> 0 !== value) throw outOfRange("uint32", value);
    const at = this.#advance(4);
    this.#view.setUint32(at, value);
  }
  int64(value) {
    if (typeof value !== "bigint" || value < minInt64 || value > maxInt64) throw outOfRange("int64", value);
    const at = this.#advance(8);
    this.#view.setBigInt64(at, value);
  }
  float64(value) {
    if (typeof value !== "number") throw outOfRange("float64", value);
    const at = this.#advance(8);
    this.#view.setFloat64(at, value);
  }
  uuid(value) {
    if (typeof value !== "string" || value.length !== 22) throw outOfRange("uuid", value);
    const at = this.#advance(16);
    if (this.#bytes.write(value, at, 16, "base64url") !== 16) throw outOfRange("uuid", value);
  }
  unsignedVarint(value) {
    let at = this.#advance(varintBytes(value));
    while (value > 127) {
      this.#bytes[at++] = value & 127 | 128;
      value >>>= 7;
    }
    this.#bytes[at] = value;
  }
  string(value, flexible) {
    if (typeof value !== "string") throw outOfRange("string", value);
    if (value.length <= 42) {
      const prefix = flexible ? 1 : 2;
      const start = this.#advance(prefix + value.length * 3);
      const written = this.#writeShortText(value, start + prefix);
      if (flexible) this.#bytes[start] = written + 1;
      else this.#view.setInt16(start, written);
      this.position = start + prefix + written;
      return;
    }
    const length = Buffer.byteLength(value);
    if (length > maxInt16) throw new ProtocolError("INVALID_VALUE", `string of ${length} bytes is too long`);
    if (flexible) this.unsignedVarint(length + 1);
    else this.int16(length);
    this.#bytes.write(value, this.#advance(length), length, "utf8");
  }
  /** Byte by byte while it is ASCII: below about 40 characters cheaper than a native call. */
  #writeShortText(value, start) {
    const bytes2 = this.#bytes;
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 127) return i + bytes2.write(value.slice(i), start + i, "utf8");
      bytes2[start + i] = unit;
    }
    return value.length;
  }
  /** Length of bytes, records or an array that is not null. */
  length(value, flexible) {
    if (flexible) this.unsignedVarint(value + 1);
    else this.int32(value);
  }
  null(flexible) {
    if (flexible) this.unsignedVarint(0);
    else this.int32(-1);
  }
  nullString(flexible) {
    if (flexible) this.unsignedVarint(0);
    else this.int16(-1);
  }
  bytes(value, flexible) {
    const length = value?.byteLength;
    if (!Number.isInteger(length) || length < 0 || length >= maxInt32) throw outOfRange("bytes", value);
    this.length(length, flexible);
    if (value instanceof Uint8Array && length < minSeparatePartBytes) {
      this.#bytes.set(value, this.#advance(length));
    } else {
      this.#separate.push({ position: this.position, part: value });
      this.#separateBytes += length;
    }
  }
  /** A tagged field: its tag, its size, then what `write` writes, which must not hold separate parts. */
  tagged(tag, write) {
    this.unsignedVarint(tag);
    const start = this.#advance(1);
    write();
    const size = this.position - start - 1;
    const moreBytes = varintBytes(size) - 1;
    if (moreBytes > 0) {
      this.#advance(moreBytes);
      this.#bytes.copyWithin(start + 1 + moreBytes, start + 1, start + 1 + size);
    }
    this.position = start;
    this.unsignedVarint(size);
    this.position += size;
  }
  setInt32(position, value) {
    this.#view.setInt32(position, value);
  }
  /** What was written, in order: small fields joined, separate parts as they were given. */
  parts() {
    const joined = Buffer.allocUnsafe(this.position);
    this.#bytes.copy(joined, 0, 0, this.position);
    const separate = this.#separate;
    if (separate.length === 0) return [joined];
    this.#separate = [];
    const parts = [];
    let from = 0;
    for (const { position, part } of separate) {
      if (position > from) parts.push(joined.subarray(from, position));
      if (part.byteLength > 0) parts.push(part);
      from = position;
    }
    if (this.position > from) parts.push(joined.subarray(from));
    return parts;
  }
};
function varintBytes(value) {
  return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : value < 268435456 ? 4 : 5;
}
function outOfRange(type, value) {
  return new ProtocolError("INVALID_VALUE", `not a value of type ${type}: ${describe(value)}`);
}
function describe(value) {
  if (typeof value === "string") return JSON.stringify(value.length > 50 ? `${value.slice(0, 50)}\u2026` : value);
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

// packages/protocol/src/field-default.ts
var ZERO_UUID = "AAAAAAAAAAAAAAAAAAAAAA";
var noBytes = new Uint8Array(0);
function defaultMaker(field) {
  const { default: given } = field.options;
  if (given !== void 0) return () => given;
  switch (field.type) {
    case "bool":
      return () => false;
    case "int64":
      return () => 0n;
    case "string":
      return () => "";
    case "uuid":
      return () => ZERO_UUID;
    case "bytes":
    case "records":
      return () => noBytes;
    case "array":
      return () => [];
    case "struct": {
      const makers = Object.entries(field.fields).map(
        ([name, inner]) => [name, defaultMaker(inner)]
      );
      return () => Object.fromEntries(makers.map(([name, make]) => [name, make()]));
    }
    default:
      return () => 0;
  }
}
function isDefault(field, value) {
  if (value === void 0) return true;
  const { default: given } = field.options;
  if (given !== void 0) return value === given;
  if (value === null) return false;
  switch (field.type) {
    case "bytes":
    case "records":
      return value.byteLength === 0;
    case "array":
      return value.length === 0;
    case "struct":
      return Object.entries(field.fields).every(
        ([name, inner]) => isDefault(inner, value[name])
      );
    default:
      return value === defaultMaker(field)();
  }
}

// packages/protocol/src/message-decoder.ts
init_protocol_error();
var compiled = /* @__PURE__ */ new WeakMap();
function messageDecoder(schema, version) {
  let versions = compiled.get(schema);
  if (versions === void 0) {
    versions = [];
    compiled.set(schema, versions);
  }
  versions[version] ??= compileStruct(schema.fields, version, version >= schema.flexibleFrom, "");
  return versions[version];
}
function compileStruct(fields, version, flexible, path) {
  const template = {};
  const names = [];
  const paths = [];
  const reads = [];
  const fresh = [];
  const tagged = /* @__PURE__ */ new Map();
  for (const [name, field] of Object.entries(fields)) {
    const { present, nullable, tag } = fieldInVersion(field, version);
    const make = defaultMaker(field);
    template[name] = make();
    if (present && tag === void 0) {
      names.push(name);
      paths.push(path + name);
      reads.push(compileField(field, version, flexible, nullable, path + name));
      continue;
    }
    if (tag !== void 0) {
      const read = compileField(field, version, flexible, nullable, path + name);
      tagged.set(tag, { name, path: path + name, read });
    }
    if (typeof template[name] === "object" && template[name] !== null) fresh.push({ name, make });
  }
  const count = names.length;
  return (reader) => {
    const struct2 = { ...template };
    for (let i = 0; i < count; i++) {
      reader.field = paths[i];
      struct2[names[i]] = reads[i](reader);
    }
    for (const { name, make } of fresh) struct2[name] = make();
    if (flexible) {
      if (tagged.size === 0) reader.skipTaggedFields();
      else readTagged(reader, struct2, tagged);
    }
    return struct2;
  };
}
function readTagged(reader, struct2, fields) {
  const count = reader.unsignedVarint();
  for (let i = 0; i < count; i++) {
    const field = fields.get(reader.unsignedVarint());
    const size = reader.unsignedVarint();
    if (field === void 0) {
      reader.take(size);
      continue;
    }
    const start = reader.position;
    reader.field = field.path;
    struct2[field.name] = field.read(reader);
    if (reader.position !== start + size) {
      throw new ProtocolError(
        "INVALID_LENGTH",
        `tagged field of ${size} bytes has ${reader.position - start}`,
        { position: start }
      );
    }
  }
}
function compileField(field, version, flexible, nullable, path) {
  switch (field.type) {
    case "bool":
      return (reader) => reader.bool();
    case "int8":
      return (reader) => reader.int8();
    case "int16":
      return (reader) => reader.int16();
    case "uint16":
      return (reader) => reader.uint16();
    case "int32":
      return (reader) => reader.int32();
    case "uint32":
      return (reader) => reader.uint32();
    case "int64":
      return (reader) => reader.int64();
    case "float64":
      return (reader) => reader.float64();
    case "uuid":
      return (reader) => reader.uuid();
    case "string":
      return (reader) => {
        const length = reader.stringLength(flexible);
        return length < 0 ? nullAllowed(reader, length, nullable) : reader.text(length);
      };
    case "bytes":
    case "records":
      return (reader) => {
        const length = reader.length(flexible);
        return length < 0 ? nullAllowed(reader, length, nullable) : reader.view(length);
      };
    case "array":
      return compileArray(field.element, version, flexible, nullable, path);
    case "struct":
      return compileStructField(field.fields, version, flexible, nullable, path);
  }
}
function compileArray(element, version, flexible, nullable, path) {
  const read = compileField(element, version, flexible, false, path);
  const minElementBytes = minBytes(element, version, flexible);
  return (reader) => {
    const length = reader.length(flexible);
    if (length < 0) return nullAllowed(reader, length, nullable);
    reader.expectElements(length, minElementBytes);
    const elements = [];
    for (let i = 0; i < length; i++) elements.push(read(reader));
    return elements;
  };
}
function compileStructField(fields, version, flexible, nullable, path) {
  const read = compileStruct(fields, version, flexible, `${path}.`);
  if (!nullable) return read;
  return (reader) => reader.int8() < 0 ? null : read(reader);
}
function nullAllowed(reader, length, nullable) {
  if (nullable && length === -1) return null;
  throw new ProtocolError(
    "INVALID_LENGTH",
    length === -1 ? "null where a value is needed" : `length ${length}`,
    { position: reader.position }
  );
}
function minBytes(field, version, flexible) {
  switch (field.type) {
    case "bool":
    case "int8":
      return 1;
    case "int16":
    case "uint16":
      return 2;
    case "int32":
    case "uint32":
      return 4;
    case "int64":
    case "float64":
      return 8;
    case "uuid":
      return 16;
    case "string":
      return flexible ? 1 : 2;
    case "bytes":
    case "records":
    case "array":
      return flexible ? 1 : 4;
    case "struct": {
      let sum = flexible ? 1 : 0;
      for (const inner of Object.values(field.fields)) {
        const { present, nullable, tag } = fieldInVersion(inner, version);
        if (!present || tag !== void 0) continue;
        sum += inner.type === "struct" && nullable ? 1 : minBytes(inner, version, flexible);
      }
      return sum;
    }
  }
}

// packages/protocol/src/message-encoder.ts
init_protocol_error();
var compiled2 = /* @__PURE__ */ new WeakMap();
function messageEncoder(schema, version) {
  let versions = compiled2.get(schema);
  if (versions === void 0) {
    versions = [];
    compiled2.set(schema, versions);
  }
  versions[version] ??= compileStruct2(schema.fields, version, version >= schema.flexibleFrom, "");
  return versions[version];
}
function compileStruct2(fields, version, flexible, path) {
  const positional = [];
  const tagged = [];
  const refused = [];
  for (const [name, field] of Object.entries(fields)) {
    const { present, nullable, tag } = fieldInVersion(field, version);
    const fieldPath = path + name;
    if (!present) {
      if (!field.options.ignorable) refused.push({ name, path: fieldPath, field });
      continue;
    }
    const write = compileField2(field, version, flexible, nullable, fieldPath);
    const entry = { name, path: fieldPath, write, whenAbsent: defaultMaker(field)() };
    if (tag === void 0) positional.push(entry);
    else tagged.push({ ...entry, tag, field });
  }
  tagged.sort((a, b) => a.tag - b.tag);
  return (writer, value) => {
    if (typeof value !== "object" || value === null) throw outOfRange("struct", value);
    for (const { name, path: path2, write, whenAbsent } of positional) {
      const given = value[name];
      writer.field = path2;
      write(writer, given === void 0 ? whenAbsent : given);
    }
    for (const { name, path: path2, field } of refused) {
      if (!isDefault(field, value[name])) {
        writer.field = path2;
        throw new ProtocolError("UNSUPPORTED_VERSION", `version ${version} has no such field`);
      }
    }
    if (flexible) writeTagged(writer, value, tagged);
  };
}
function writeTagged(writer, struct2, fields) {
  let count = 0;
  for (const { name, field } of fields) {
    if (!isDefault(field, struct2[name])) count++;
  }
  writer.unsignedVarint(count);
  if (count === 0) return;
  for (const { name, path, field, tag, write } of fields) {
    const value = struct2[name];
    if (isDefault(field, value)) continue;
    writer.field = path;
    writer.tagged(tag, () => write(writer, value));
  }
}
function compileField2(field, version, flexible, nullable, path) {
  switch (field.type) {
    case "bool":
      return (writer, value) => writer.bool(value);
    case "int8":
      return (writer, value) => writer.int8(value);
    case "int16":
      return (writer, value) => writer.int16(value);
    case "uint16":
      return (writer, value) => writer.uint16(value);
    case "int32":
      return (writer, value) => writer.int32(value);
    case "uint32":
      return (writer, value) => writer.uint32(value);
    case "int64":
      return (writer, value) => writer.int64(value);
    case "float64":
      return (writer, value) => writer.float64(value);
    case "uuid":
      return (writer, value) => writer.uuid(value);
    case "string":
      return (writer, value) => {
        if (value !== null) writer.string(value, flexible);
        else writer.nullString(nullAllowed2(nullable, flexible));
      };
    case "bytes":
    case "records":
      return (writer, value) => {
        if (value !== null) writer.bytes(value, flexible);
        else writer.null(nullAllowed2(nullable, flexible));
      };
    case "array":
      return compileArray2(field.element, version, flexible, nullable, path);
    case "struct": {
      const write = compileStruct2(field.fields, version, flexible, `${path}.`);
      if (!nullable) return write;
      return (writer, value) => {
        writer.int8(value === null ? -1 : 1);
        if (value !== null) write(writer, value);
      };
    }
  }
}
function compileArray2(element, version, flexible, nullable, path) {
  const write = compileField2(element, version, flexible, false, path);
  return (writer, value) => {
    if (value === null) {
      writer.null(nullAllowed2(nullable, flexible));
      return;
    }
    if (!Array.isArray(value)) throw outOfRange("array", value);
    writer.length(value.length, flexible);
    for (let i = 0; i < value.length; i++) write(writer, value[i]);
  };
}
function nullAllowed2(nullable, flexible) {
  if (!nullable) throw new ProtocolError("INVALID_VALUE", "null is not allowed in this version");
  return flexible;
}

// packages/protocol/src/codec.ts
init_protocol_error();
function decodeRequestHeader(frame) {
  const reader = new ByteReader(frame);
  return decoding("request header", reader, () => {
    const apiKey = reader.int16();
    const apiVersion = reader.int16();
    const correlationId = reader.int32();
    const clientIdLength = reader.int16();
    if (clientIdLength < -1) {
      throw new ProtocolError("INVALID_LENGTH", `client id of ${clientIdLength} bytes`, { position: 8 });
    }
    const clientId = clientIdLength === -1 ? null : reader.text(clientIdLength);
    const api2 = apiByKey(apiKey);
    if (api2 !== void 0 && apiVersion >= api2.request.flexibleFrom) reader.skipTaggedFields();
    return { header: { apiKey, apiVersion, correlationId, clientId }, bodyOffset: reader.position };
  });
}
function decodeRequest(api2, version, frame, bodyOffset) {
  return decodeBody(api2.name, "request", api2.request, version, new ByteReader(frame, bodyOffset));
}
function encodeRequest(api2, version, header, body) {
  checkVersion(api2.name, "request", api2.request, version);
  return encodeFrame(`${api2.name} v${version} request`, (writer) => {
    writer.int16(api2.key);
    writer.int16(version);
    writer.int32(header.correlationId);
    if (header.clientId === null) writer.nullString(false);
    else writer.string(header.clientId, false);
    if (version >= api2.request.flexibleFrom) writer.unsignedVarint(0);
    messageEncoder(api2.request, version)(writer, body);
  });
}
function decodeResponseHeader(api2, version, frame) {
  const reader = new ByteReader(frame);
  return decoding(`${api2.name} v${version} response header`, reader, () => {
    const correlationId = reader.int32();
    if (hasTaggedHeader(api2, version)) reader.skipTaggedFields();
    return { correlationId, bodyOffset: reader.position };
  });
}
function decodeResponse(api2, version, frame) {
  const { correlationId, bodyOffset } = decodeResponseHeader(api2, version, frame);
  const reader = new ByteReader(frame, bodyOffset);
  const bodyVersion = isApiVersionsFallback(api2, frame, bodyOffset) ? 0 : version;
  return { correlationId, body: decodeBody(api2.name, "response", api2.response, bodyVersion, reader) };
}
function encodeResponse(api2, version, correlationId, body) {
  checkVersion(api2.name, "response", api2.response, version);
  return encodeFrame(`${api2.name} v${version} response`, (writer) => {
    writer.int32(correlationId);
    if (hasTaggedHeader(api2, version)) writer.unsignedVarint(0);
    messageEncoder(api2.response, version)(writer, body);
  });
}
function hasTaggedHeader(api2, version) {
  return version >= api2.response.flexibleFrom && api2.key !== apiVersions.key;
}
var unsupportedVersion = 35;
function isApiVersionsFallback(api2, frame, bodyOffset) {
  return api2.key === apiVersions.key && frame[bodyOffset] === 0 && frame[bodyOffset + 1] === unsupportedVersion;
}
function checkVersion(name, kind, schema, version) {
  if (version >= schema.minVersion && version <= schema.maxVersion) return;
  throw new ProtocolError(
    "UNSUPPORTED_VERSION",
    `${name} ${kind} has versions ${schema.minVersion} to ${schema.maxVersion}, not ${version}`
  );
}
function decodeBody(name, kind, schema, version, reader) {
  checkVersion(name, kind, schema, version);
  const decode = messageDecoder(schema, version);
  return decoding(`${name} v${version} ${kind}`, reader, () => {
    const body = decode(reader);
    if (reader.remaining > 0) {
      reader.field = "";
      throw new ProtocolError("TRAILING_BYTES", `${reader.remaining} bytes left`, {
        position: reader.position
      });
    }
    return body;
  });
}
function decoding(what, reader, read) {
  try {
    return read();
  } catch (error) {
    throw inField(what, reader.field, error);
  }
}
var idleWriter;
function encodeFrame(what, write) {
  const writer = idleWriter ?? new ByteWriter();
  idleWriter = void 0;
  try {
    writer.reset();
    writer.int32(0);
    write(writer);
    writer.setInt32(0, writer.byteLength - 4);
    return writer.parts();
  } catch (error) {
    throw inField(what, writer.field, error);
  } finally {
    idleWriter = writer;
  }
}
function inField(what, field, error) {
  if (!(error instanceof ProtocolError)) return error;
  return error.during(field === "" ? what : `${what}, ${field}`);
}

// packages/protocol/src/record-batch.ts
init_codec();
init_protocol_error();

// packages/protocol/src/record-cursor.ts
init_protocol_error();
var RecordCursor = class {
  bytes;
  position;
  #end;
  /** The current record, valid after `next`. Lengths of -1 mean null. */
  timestampDelta = 0;
  offsetDelta = 0;
  keyStart = 0;
  keyLength = 0;
  valueStart = 0;
  valueLength = 0;
  headersStart = 0;
  headerCount = 0;
  constructor(bytes2, start, end) {
    this.bytes = bytes2;
    this.position = start;
    this.#end = end;
  }
  /** Moves to the next record and checks that it lies within the batch and fills its length exactly. */
  next() {
    const start = this.position;
    const length = this.varint();
    const recordEnd = this.position + length;
    if (length < 0 || recordEnd > this.#end) {
      throw new ProtocolError("INVALID_LENGTH", `record of ${length} bytes`, { position: start });
    }
    this.position++;
    this.timestampDelta = this.#varlong();
    this.offsetDelta = this.varint();
    this.keyLength = this.varint();
    this.keyStart = this.#skip(this.keyLength);
    this.valueLength = this.varint();
    this.valueStart = this.#skip(this.valueLength);
    this.headerCount = this.varint();
    this.headersStart = this.position;
    if (this.headerCount !== 0) this.#skipHeaders();
    if (this.position !== recordEnd) {
      throw new ProtocolError("INVALID_LENGTH", `record of ${length} bytes is not filled by its fields`, {
        position: start
      });
    }
  }
  #skipHeaders() {
    if (this.headerCount < 0) {
      throw new ProtocolError("INVALID_LENGTH", `${this.headerCount} record headers`, {
        position: this.headersStart
      });
    }
    for (let i = 0; i < this.headerCount; i++) {
      const keyLength = this.varint();
      if (keyLength < 0) {
        throw new ProtocolError("INVALID_LENGTH", "record header without a key", { position: this.position });
      }
      this.#skip(keyLength);
      this.#skip(this.varint());
    }
  }
  expectEnd() {
    if (this.position === this.#end) return;
    throw new ProtocolError("TRAILING_BYTES", `${this.#end - this.position} bytes after the last record`, {
      position: this.position
    });
  }
  #skip(length) {
    const start = this.position;
    if (length > 0) {
      if (length > this.#end - start) {
        throw new ProtocolError("TRUNCATED", `${length} bytes expected, ${this.#end - start} left`, {
          position: start
        });
      }
      this.position = start + length;
    } else if (length < -1) {
      throw new ProtocolError("INVALID_LENGTH", `length ${length} in a record`, { position: start });
    }
    return start;
  }
  /** Zigzag, 32 bits, at most five bytes. */
  varint() {
    const bytes2 = this.bytes;
    const start = this.position;
    let position = start;
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (position >= this.#end) throw truncated(start);
      const byte = bytes2[position++];
      value |= (byte & 127) << shift;
      if (byte < 128) {
        this.position = position;
        return value >>> 1 ^ -(value & 1);
      }
    }
    throw new ProtocolError("INVALID_VALUE", "varint longer than 32 bits", { position: start });
  }
  /** Zigzag, 64 bits, at most ten bytes; exact below 2^53. */
  #varlong() {
    const bytes2 = this.bytes;
    const start = this.position;
    let position = start;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      if (position >= this.#end) throw truncated(start);
      const byte = bytes2[position++];
      value += (byte & 127) * scale;
      if (byte < 128) {
        this.position = position;
        return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      }
      scale *= 128;
    }
    throw new ProtocolError("INVALID_VALUE", "varint longer than 64 bits", { position: start });
  }
};
function truncated(position) {
  return new ProtocolError("TRUNCATED", "the bytes end inside a varint", { position });
}

// packages/protocol/src/record-batch.ts
var defaultMaxDecompressedBytes = 128 * 1024 * 1024;
function decodeRecords(bytes2, options = {}) {
  const byteLength = wholeBatchLength(bytes2, 0, bytes2.length);
  if (options.verifyCrc === true && batchCrc(bytes2, 0, byteLength) !== batchHeader.crc(bytes2, 0)) {
    throw new ProtocolError("CORRUPT_BATCH", "the CRC-32C of the record batch does not match");
  }
  const section = recordSection(
    bytes2,
    0,
    byteLength,
    options.maxDecompressedBytes ?? defaultMaxDecompressedBytes
  );
  return new RecordsOfBatch(bytes2, section);
}
function checkRecords(bytes2, position, byteLength, options = {}) {
  if (wholeBatchLength(bytes2, position, byteLength) !== byteLength) {
    throw new ProtocolError("TRAILING_BYTES", "bytes after the record batch", { position });
  }
  const section = recordSection(
    bytes2,
    position,
    byteLength,
    options.maxDecompressedBytes ?? defaultMaxDecompressedBytes
  );
  const count = batchHeader.recordCount(bytes2, position);
  const cursor = new RecordCursor(section.bytes, section.start, section.end);
  let maxDelta = Number.NEGATIVE_INFINITY;
  let firstNullKeyIndex = -1;
  for (let i = 0; i < count; i++) {
    cursor.next();
    if (cursor.offsetDelta !== i) {
      throw new ProtocolError("INVALID_VALUE", `record ${i} has the offset ${cursor.offsetDelta}`, {
        position: cursor.position
      });
    }
    if (cursor.timestampDelta > maxDelta) maxDelta = cursor.timestampDelta;
    if (cursor.keyLength < 0 && firstNullKeyIndex < 0) firstNullKeyIndex = i;
  }
  cursor.expectEnd();
  return { maxTimestamp: batchHeader.baseTimestamp(bytes2, position) + maxDelta, firstNullKeyIndex };
}
function recordSection(bytes2, position, byteLength, maxDecompressedBytes) {
  const start = position + BATCH_HEADER_BYTES;
  const end = position + byteLength;
  const codec = batchHeader.codec(bytes2, position);
  if (codec === 0) return { bytes: bytes2, start, end };
  const decompressed = loadedCodec(codec).decompress(bytes2.subarray(start, end), maxDecompressedBytes);
  return { bytes: decompressed, start: 0, end: decompressed.length };
}
function wholeBatchLength(bytes2, position, available) {
  if (available < BATCH_HEADER_BYTES || available > bytes2.length - position) {
    throw new ProtocolError("TRUNCATED", `record batch of ${available} bytes`, { position });
  }
  const magic = batchHeader.magic(bytes2, position);
  if (magic !== BATCH_MAGIC) {
    throw new ProtocolError("UNSUPPORTED_MAGIC", `record format ${magic}`, { position });
  }
  const byteLength = batchHeader.byteLength(bytes2, position);
  if (byteLength < BATCH_HEADER_BYTES) {
    throw new ProtocolError("INVALID_LENGTH", `record batch of ${byteLength} bytes`, { position });
  }
  if (byteLength > available) {
    throw new ProtocolError("TRUNCATED", `record batch of ${byteLength} bytes, ${available} there`, {
      position
    });
  }
  const count = batchHeader.recordCount(bytes2, position);
  if (count < 0) throw new ProtocolError("INVALID_LENGTH", `${count} records`, { position });
  return byteLength;
}
var RecordsOfBatch = class {
  baseOffset;
  recordCount;
  producerId;
  isTransactional;
  isControl;
  #section;
  #baseTimestamp;
  /** The timestamp of all records of a LogAppendTime batch. */
  #appendTime;
  constructor(bytes2, section) {
    this.baseOffset = batchHeader.baseOffset(bytes2, 0);
    this.recordCount = batchHeader.recordCount(bytes2, 0);
    this.producerId = batchHeader.producerId(bytes2, 0);
    this.isTransactional = batchHeader.isTransactional(bytes2, 0);
    this.isControl = batchHeader.isControl(bytes2, 0);
    this.#section = section;
    this.#baseTimestamp = batchHeader.baseTimestamp(bytes2, 0);
    this.#appendTime = batchHeader.isLogAppendTime(bytes2, 0) ? batchHeader.maxTimestamp(bytes2, 0) : null;
  }
  *[Symbol.iterator]() {
    const { bytes: bytes2, start, end } = this.#section;
    const cursor = new RecordCursor(bytes2, start, end);
    for (let i = 0; i < this.recordCount; i++) {
      cursor.next();
      const timestamp = this.#appendTime ?? this.#baseTimestamp + cursor.timestampDelta;
      yield new RecordView(cursor, this.baseOffset + cursor.offsetDelta, timestamp);
    }
    cursor.expectEnd();
  }
};
var RecordView = class {
  #bytes;
  #offset;
  #timestamp;
  #keyStart;
  #keyLength;
  #valueStart;
  #valueLength;
  #headersStart;
  #headerCount;
  constructor(cursor, offset, timestamp) {
    this.#bytes = cursor.bytes;
    this.#offset = offset;
    this.#timestamp = timestamp;
    this.#keyStart = cursor.keyStart;
    this.#keyLength = cursor.keyLength;
    this.#valueStart = cursor.valueStart;
    this.#valueLength = cursor.valueLength;
    this.#headersStart = cursor.headersStart;
    this.#headerCount = cursor.headerCount;
  }
  get offset() {
    return BigInt(this.#offset);
  }
  get timestamp() {
    return BigInt(this.#timestamp);
  }
  get key() {
    return view(this.#bytes, this.#keyStart, this.#keyLength);
  }
  get value() {
    return view(this.#bytes, this.#valueStart, this.#valueLength);
  }
  get headers() {
    const headers = [];
    const cursor = new RecordCursor(this.#bytes, this.#headersStart, this.#bytes.length);
    for (let i = 0; i < this.#headerCount; i++) {
      const keyLength = cursor.varint();
      const key = Buffer.from(view(this.#bytes, cursor.position, keyLength)).toString("utf8");
      cursor.position += keyLength;
      const valueLength = cursor.varint();
      headers.push({ key, value: view(this.#bytes, cursor.position, valueLength) });
      if (valueLength > 0) cursor.position += valueLength;
    }
    return headers;
  }
};
function view(bytes2, start, length) {
  return length < 0 ? null : bytes2.subarray(start, start + length);
}
function encodeRecordBatch(records3, options = {}) {
  const first = records3[0];
  if (first === void 0) throw new ProtocolError("INVALID_VALUE", "a record batch needs a record");
  const baseTimestamp = timestampOf(first);
  const lengths = records3.map((record, index) => recordBodyBytes(record, index, baseTimestamp));
  let sectionBytes = 0;
  for (const length of lengths) sectionBytes += varintBytes2(length) + length;
  const codec = compressionIds[options.compression ?? "none"];
  let batch;
  if (codec === 0) {
    batch = Buffer.allocUnsafe(BATCH_HEADER_BYTES + sectionBytes);
    writeRecords(batch, BATCH_HEADER_BYTES, records3, lengths, baseTimestamp);
  } else {
    const section = Buffer.allocUnsafe(sectionBytes);
    writeRecords(section, 0, records3, lengths, baseTimestamp);
    const compressed = loadedCodec(codec).compress(section);
    batch = Buffer.allocUnsafe(BATCH_HEADER_BYTES + compressed.length);
    batch.set(compressed, BATCH_HEADER_BYTES);
  }
  let maxTimestamp = baseTimestamp;
  for (const record of records3) maxTimestamp = Math.max(maxTimestamp, timestampOf(record));
  writeBatchHeader(batch, 0, {
    baseOffset: options.baseOffset ?? 0,
    batchLength: batch.length - BATCH_LENGTH_OVERHEAD,
    partitionLeaderEpoch: options.partitionLeaderEpoch ?? -1,
    codec,
    logAppendTime: false,
    transactional: options.transactional ?? false,
    control: options.control ?? false,
    lastOffsetDelta: records3.length - 1,
    baseTimestamp,
    maxTimestamp,
    producerId: Number(options.producerId ?? -1),
    producerEpoch: options.producerEpoch ?? -1,
    baseSequence: options.baseSequence ?? -1,
    recordCount: records3.length
  });
  return batch;
}
function timestampOf(record) {
  return Number(record.timestamp ?? -1);
}
function contentBytes(content) {
  if (content === null || content === void 0) return -1;
  return typeof content === "string" ? Buffer.byteLength(content) : content.length;
}
function recordBodyBytes(record, index, baseTimestamp) {
  const headers = record.headers ?? [];
  let sum = 1 + varlongBytes(timestampOf(record) - baseTimestamp) + varintBytes2(index);
  sum += fieldBytes(record.key) + fieldBytes(record.value) + varintBytes2(headers.length);
  for (const { key, value } of headers) sum += fieldBytes(key) + fieldBytes(value);
  return sum;
}
function fieldBytes(content) {
  const length = contentBytes(content);
  return varintBytes2(length) + Math.max(length, 0);
}
function writeRecords(target, start, records3, lengths, baseTimestamp) {
  let at = start;
  for (let i = 0; i < records3.length; i++) {
    const record = records3[i];
    at = writeVarint(target, at, lengths[i]);
    target[at++] = 0;
    at = writeVarlong(target, at, timestampOf(record) - baseTimestamp);
    at = writeVarint(target, at, i);
    at = writeField(target, at, record.key);
    at = writeField(target, at, record.value);
    const headers = record.headers ?? [];
    at = writeVarint(target, at, headers.length);
    for (const { key, value } of headers) {
      at = writeField(target, at, key);
      at = writeField(target, at, value);
    }
  }
}
function writeField(target, start, content) {
  if (content === null || content === void 0) return writeVarint(target, start, -1);
  const length = contentBytes(content);
  const at = writeVarint(target, start, length);
  if (typeof content === "string") target.write(content, at, length, "utf8");
  else target.set(content, at);
  return at + length;
}
function zigzag(value) {
  return (value << 1 ^ value >> 31) >>> 0;
}
function varintBytes2(value) {
  const z = zigzag(value);
  return z < 128 ? 1 : z < 16384 ? 2 : z < 2097152 ? 3 : z < 268435456 ? 4 : 5;
}
function writeVarint(target, start, value) {
  let at = start;
  let z = zigzag(value);
  while (z > 127) {
    target[at++] = z & 127 | 128;
    z >>>= 7;
  }
  target[at++] = z;
  return at;
}
function longZigzag(value) {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}
function varlongBytes(value) {
  let z = longZigzag(value);
  let count = 1;
  while (z > 127) {
    z = Math.floor(z / 128);
    count++;
  }
  return count;
}
function writeVarlong(target, start, value) {
  let at = start;
  let z = longZigzag(value);
  while (z > 127) {
    target[at++] = z % 128 | 128;
    z = Math.floor(z / 128);
  }
  target[at++] = z;
  return at;
}

// packages/protocol/perf.ts
var records2 = encodeRecordBatch([{ value: "x".repeat(1e3) }]);
var frameOf = (parts) => Buffer.concat(parts).subarray(4);
var reqFrame = frameOf(encodeRequest(produce, 9, { correlationId: 7, clientId: "perf-client-1" }, { acks: -1, timeoutMs: 1e3, topicData: [{ name: "orders-topic", partitionData: [{ index: 3, records: records2 }] }] }));
var resp = { responses: [{ name: "orders-topic", partitionResponses: [{ index: 3, errorCode: 0, baseOffset: 123456789n, logStartOffset: 0n }] }] };
var fetchReq = frameOf(encodeRequest(fetch, 12, { correlationId: 7, clientId: "perf-client-1" }, { maxWaitMs: 500, minBytes: 1, topics: [{ topic: "orders-topic", partitions: [{ partition: 3, fetchOffset: 123456n, partitionMaxBytes: 1048576 }] }], forgottenTopicsData: [] }));
var fetchResp = { responses: [{ topic: "orders-topic", partitions: [{ partitionIndex: 3, errorCode: 0, highWatermark: 1000n, lastStableOffset: 1000n, logStartOffset: 0n, abortedTransactions: null, records: { byteLength: 1e6 } }] }] };
var prodRespFrame = frameOf(encodeResponse(produce, 9, 7, resp));
var big = encodeRecordBatch(Array.from({ length: 1e3 }, (_, i) => ({ key: `key-${i}`, value: "v".repeat(100), timestamp: 17e11 + i })));
var cases = {
  "decode header+produce v9": () => {
    const { header, bodyOffset } = decodeRequestHeader(reqFrame);
    return decodeRequest(produce, header.apiVersion, reqFrame, bodyOffset);
  },
  "encode produce v9 response": () => encodeResponse(produce, 9, 7, resp),
  "encode produce v9 request": () => encodeRequest(produce, 9, { correlationId: 7, clientId: "perf-client-1" }, { acks: -1, timeoutMs: 1e3, topicData: [{ name: "orders-topic", partitionData: [{ index: 3, records: records2 }] }] }),
  "decode produce v9 response": () => decodeResponse(produce, 9, prodRespFrame),
  "decode header+fetch v12": () => {
    const { header, bodyOffset } = decodeRequestHeader(fetchReq);
    return decodeRequest(fetch, header.apiVersion, fetchReq, bodyOffset);
  },
  "encode fetch v12 response": () => encodeResponse(fetch, 12, 7, fetchResp),
  "checkRecords 1000x100B": () => checkRecords(big, 0, big.length),
  "decodeRecords 1000x100B value only": () => {
    let n = 0;
    for (const r of decodeRecords(big)) n += r.value.length;
    return n;
  },
  "decodeRecords all fields": () => {
    let n = 0;
    for (const r of decodeRecords(big)) n += r.value.length + r.key.length + Number(r.offset) + Number(r.timestamp) + r.headers.length;
    return n;
  },
  "encodeRecordBatch 1000x100B": () => encodeRecordBatch(Array.from({ length: 1e3 }, (_, i) => ({ key: `key-${i}`, value: "v".repeat(100), timestamp: 17e11 + i })))
};
for (let round = 0; round < 12; round++) for (const [name, run] of Object.entries(cases)) {
  if (!name.includes("header+produce")) continue;
  const n = name.includes("1000x") || name.includes("all") ? 1e3 : 2e5;
  for (let i = 0; i < n / 4; i++) run();
  const t = process.hrtime.bigint();
  for (let i = 0; i < n; i++) run();
  if (round) console.log(name.padEnd(40), (Number(process.hrtime.bigint() - t) / n / 1e3).toFixed(2), "\xB5s");
}

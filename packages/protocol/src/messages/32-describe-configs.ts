import {
  api,
  array,
  bool,
  int8,
  int16,
  int32,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Settings of topics, brokers and groups. v1 adds source and synonyms (KIP-226), v3 type and documentation
 * (KIP-569).
 */
export const describeConfigs = api(32, 'DescribeConfigs', {
  request: message(
    { versions: '0-4', flexible: '4+' },
    {
      resources: array({
        resourceType: int8(),
        resourceName: string(),
        configurationKeys: array(string(), { nullable: '0+' }),
      }),
      includeSynonyms: bool({ versions: '1+', default: false }),
      includeDocumentation: bool({ versions: '3+', default: false }),
    },
  ),
  response: message(
    { versions: '0-4', flexible: '4+' },
    {
      throttleTimeMs: int32(),
      results: array({
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
        resourceType: int8(),
        resourceName: string(),
        configs: array({
          name: string(),
          value: string({ nullable: '0+' }),
          readOnly: bool(),
          isDefault: bool({ versions: '0' }),
          configSource: int8({ versions: '1+', default: -1, ignorable: true }),
          isSensitive: bool(),
          synonyms: array(
            {
              name: string(),
              value: string({ nullable: '1+' }),
              source: int8(),
            },
            { versions: '1+', ignorable: true },
          ),
          configType: int8({ versions: '3+', default: 0, ignorable: true }),
          documentation: string({ versions: '3+', nullable: '3+', ignorable: true }),
        }),
      }),
    },
  ),
})

export type DescribeConfigsRequest = Message<typeof describeConfigs.request>
export type DescribeConfigsResponse = Message<typeof describeConfigs.response>
export type DescribeConfigsRequestInput = MessageInput<typeof describeConfigs.request>
export type DescribeConfigsResponseInput = MessageInput<typeof describeConfigs.response>

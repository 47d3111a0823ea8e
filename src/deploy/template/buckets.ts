/** The buckets of the state and of the archive. They hold data, so they stay when the stack goes. */
import { att, type Part, type Resource, ref, sub, type Value, WHY } from './cloudformation.ts';

export function bucketsPart(): Part {
  return {
    resources: {
      StateBucket: bucket('Enabled', [
        {
          Id: 'old-states',
          Status: 'Enabled',
          NoncurrentVersionExpiration: { NoncurrentDays: 7 },
          AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
        },
        { Id: 'removed-states', Status: 'Enabled', ExpiredObjectDeleteMarker: true },
      ]),
      StateBucketPolicy: encryptedWays('StateBucket'),
      ArchiveBucket: bucket(
        undefined,
        [
          {
            Id: 'colder',
            Status: 'Enabled',
            Transitions: [{ StorageClass: 'INTELLIGENT_TIERING', TransitionInDays: 30 }],
            AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 },
          },
          { Id: 'answers', Status: 'Enabled', Prefix: 'queries/', ExpirationInDays: 30 },
        ],
        [{ id: 'CKV_AWS_21', comment: 'Its files are written once and never changed' }],
      ),
      ArchiveBucketPolicy: encryptedWays('ArchiveBucket'),
    },
  };
}

const NO_ACCESS_LOG = {
  id: 'CKV_AWS_18',
  comment: 'CloudTrail records access where an account wants it; a bucket for logs would outlive the stack',
};

function bucket(
  versions: 'Enabled' | undefined,
  rules: readonly Value[],
  skipped: readonly Value[] = [],
): Resource {
  return {
    Type: 'AWS::S3::Bucket',
    DeletionPolicy: 'Retain',
    UpdateReplacePolicy: 'Retain',
    Metadata: { checkov: { skip: [NO_ACCESS_LOG, ...skipped] } },
    Properties: {
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [{ ServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
      },
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
      OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
      ...(versions === undefined ? {} : { VersioningConfiguration: { Status: versions } }),
      LifecycleConfiguration: { Rules: rules },
    },
  };
}

function encryptedWays(name: string): Resource {
  return {
    Type: 'AWS::S3::BucketPolicy',
    DeletionPolicy: 'Retain',
    UpdateReplacePolicy: 'Retain',
    Properties: {
      Bucket: ref(name),
      PolicyDocument: {
        Version: '2012-10-17',
        Statement: [
          {
            [WHY]: 'Nothing goes over the network in the clear',
            Effect: 'Deny',
            Principal: '*',
            Action: 's3:*',
            Resource: [att(name, 'Arn'), sub`${att(name, 'Arn')}/*`],
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          },
        ],
      },
    },
  };
}

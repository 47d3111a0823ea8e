/** Where results go: a domain of OpenSearch, a serverless collection, or one that exists. */
import {
  arn,
  att,
  isEqual,
  not,
  type Output,
  type Parameter,
  type Part,
  type Resource,
  ref,
  type Statement,
  sub,
  subJson,
  type Value,
  WHY,
  when,
} from './cloudformation.ts';
import { searchGroup, subnetOf } from './network.ts';
import type { StackShape } from './shape.ts';

/** Ids of the resources: a stack can go from one to the other only if they differ. */
export const SEARCH_DOMAIN = 'SearchDomain';
const COLLECTION = 'SearchCollection';

/** Methods by which `es-setup` and `process` talk to a domain. */
const METHODS = ['es:ESHttpGet', 'es:ESHttpPost', 'es:ESHttpPut'];

// By its name: asked for its ARN, the domain would wait for the role, which is its master.
const DOMAIN = arn('es', sub`domain/${ref('Name')}/*`);

/** What the processor, and es-setup in its place, may do to the search service. */
export function searchStatements({ search }: StackShape): Statement[] {
  const domain = { why: 'Results are written, and the indices made', actions: METHODS };
  const collection = {
    why: 'Results are written, and the indices made, as far as the policy of the data allows',
    actions: ['aoss:APIAccessAll'],
  };
  switch (search) {
    case 'none':
      return [];
    case 'serverless':
      return [
        { ...collection, on: att(COLLECTION, 'Arn') },
        {
          why: 'Saved objects of the dashboard are made; it has one name for all collections',
          actions: ['aoss:DashboardsAccessAll'],
          on: arn('aoss', 'dashboards/default'),
        },
      ];
    case 'existing':
      return [
        { ...domain, on: sub`${ref('SearchArn')}/*`, when: 'SearchIsDomain' },
        { ...collection, on: ref('SearchArn'), when: 'SearchIsCollection' },
      ];
    default:
      return [{ ...domain, on: DOMAIN }];
  }
}

/** The URL of the search service; undefined where there is none. */
export function searchUrl({ search }: StackShape): Value | undefined {
  switch (search) {
    case 'none':
      return undefined;
    case 'serverless':
      return att(COLLECTION, 'CollectionEndpoint');
    case 'existing':
      return ref('SearchUrl');
    default:
      return sub`https://${att(SEARCH_DOMAIN, 'DomainEndpoint')}`;
  }
}

/** The URL of its Dashboards, where the stack makes them. */
export function dashboardsUrl({ search }: StackShape): Value | undefined {
  if (search === 'serverless') return att(COLLECTION, 'DashboardEndpoint');
  return search === 'domain' || search === 'public'
    ? sub`https://${att(SEARCH_DOMAIN, 'DomainEndpoint')}/_dashboards`
    : undefined;
}

export function searchPart(shape: StackShape): Part {
  switch (shape.search) {
    case 'none':
      return { resources: {} };
    case 'existing':
      return existing(shape);
    case 'serverless':
      return collection(shape);
    default:
      return domain(shape);
  }
}

const ADMIN: Parameter = {
  Type: 'String',
  Default: '',
  AllowedPattern: '|arn:aws[a-z-]*:iam::[0-9]{12}:(user|role)/.+',
  ConstraintDescription:
    'must be the ARN of a user or role, arn:aws:iam::ACCOUNT:role/NAME; a session, assumed-role/NAME/…, is one of role/NAME',
  Description:
    'ARN of a user or role that may look after the search service and see its dashboard; empty = none',
};

function existing(shape: StackShape): Part {
  return {
    parameters: {
      SearchUrl: {
        Type: 'String',
        AllowedPattern: 'https://[A-Za-z0-9.-]+',
        ConstraintDescription: 'must be https://HOST, on port 443',
        Description: 'URL of an OpenSearch domain or collection that exists',
      },
      SearchService: {
        Type: 'String',
        Default: 'es',
        AllowedValues: ['es', 'aoss'],
        Description: 'es for a domain, aoss for a serverless collection',
      },
      SearchArn: {
        Type: 'String',
        AllowedPattern: 'arn:aws[a-z-]*:(es|aoss):[a-z0-9-]+:[0-9]{12}:(domain|collection)/[a-z0-9-]+',
        ConstraintDescription: 'must be the ARN of a domain or a collection',
        Description: 'Its ARN; its own policies must admit the ProcessRole of this stack',
      },
    },
    conditions: {
      SearchIsDomain: isEqual(ref('SearchService'), 'es'),
      SearchIsCollection: isEqual(ref('SearchService'), 'aoss'),
    },
    resources: {},
    outputs: searchOutputs(shape),
  };
}

function searchOutputs(shape: StackShape): Record<string, Output> {
  const [url, dashboards] = [searchUrl(shape), dashboardsUrl(shape)];
  return {
    ...(url === undefined ? {} : { SearchEndpoint: { Description: 'URL of OpenSearch', Value: url } }),
    ...(dashboards === undefined
      ? {}
      : { DashboardsUrl: { Description: 'URL of OpenSearch Dashboards', Value: dashboards } }),
  };
}

/** Results can be made again from the archive and the state, so it goes with the stack. */
const GOES = { DeletionPolicy: 'Delete', UpdateReplacePolicy: 'Delete' } as const;

function domain(shape: StackShape): Part {
  const isInside = shape.search === 'domain';
  return {
    parameters: {
      SearchInstance: {
        Type: 'String',
        Default: 't3.medium.search',
        AllowedPattern: '(t3|[mcr][5-8]g?)\\.[a-z0-9]+\\.search',
        ConstraintDescription: 'must be a kind with disks of EBS: t3, m, c or r without d',
        Description: 'Kind of the search nodes',
      },
      SearchNodes: {
        Type: 'Number',
        Default: 1,
        AllowedValues: [1, 2],
        Description: 'Search nodes; two lie in two zones',
      },
      SearchStorage: {
        Type: 'Number',
        Default: 20,
        MinValue: 10,
        MaxValue: 1_000,
        Description: 'GiB for each search node; t3.small takes 100 and t3.medium 200 at most',
      },
      SearchAdmin: ADMIN,
    },
    conditions: {
      TwoNodes: isEqual(ref('SearchNodes'), '2'),
      HasSearchAdmin: not(isEqual(ref('SearchAdmin'), '')),
    },
    resources: {
      ...(isInside ? { SearchGroup: searchGroup(shape) } : {}),
      [SEARCH_DOMAIN]: domainResource(shape, isInside),
    },
    outputs: searchOutputs(shape),
  };
}

function domainResource(shape: StackShape, isInside: boolean): Resource {
  const [first, second] = [subnetOf(shape, 0), subnetOf(shape, 1)];
  const place = {
    SecurityGroupIds: [ref('SearchGroup')],
    SubnetIds: when('TwoNodes', [first, second], [first]),
  };
  return {
    Type: 'AWS::OpenSearchService::Domain',
    ...GOES,
    // A new version of the engine would else be a new domain, under a name that is taken.
    UpdatePolicy: { EnableVersionUpgrade: true },
    Metadata: {
      checkov: {
        skip: [
          { id: 'CKV_AWS_84', comment: 'The processor reports what the domain refuses' },
          { id: 'CKV_AWS_317', comment: 'One role alone has access, and CloudTrail knows who takes it' },
        ],
      },
    },
    Properties: {
      DomainName: ref('Name'),
      EngineVersion: 'OpenSearch_2.19',
      ClusterConfig: {
        InstanceType: ref('SearchInstance'),
        InstanceCount: ref('SearchNodes'),
        ZoneAwarenessEnabled: when('TwoNodes', true, false),
        ZoneAwarenessConfig: when('TwoNodes', { AvailabilityZoneCount: 2 }),
      },
      EBSOptions: { EBSEnabled: true, VolumeType: 'gp3', VolumeSize: ref('SearchStorage') },
      EncryptionAtRestOptions: { Enabled: true },
      NodeToNodeEncryptionOptions: { Enabled: true },
      DomainEndpointOptions: {
        EnforceHTTPS: true,
        TLSSecurityPolicy: 'Policy-Min-TLS-1-2-PFS-2023-10',
      },
      AdvancedSecurityOptions: {
        Enabled: true,
        InternalUserDatabaseEnabled: false,
        MasterUserOptions: { MasterUserARN: att('ProcessRole', 'Arn') },
      },
      ...(isInside ? { VPCOptions: place } : {}),
      AccessPolicies: {
        Version: '2012-10-17',
        Statement: [
          {
            [WHY]: 'Nobody but the processor, and whoever may act as it',
            Effect: 'Allow',
            Principal: { AWS: att('ProcessRole', 'Arn') },
            Action: METHODS,
            Resource: DOMAIN,
          },
        ],
      },
    },
  };
}

/** What is allowed to the processor, and the admin, in a collection. */
const COLLECTION_RIGHTS = [
  'aoss:CreateCollectionItems',
  'aoss:UpdateCollectionItems',
  'aoss:DescribeCollectionItems',
];
const INDEX_RIGHTS = [
  'aoss:CreateIndex',
  'aoss:UpdateIndex',
  'aoss:DescribeIndex',
  'aoss:ReadDocument',
  'aoss:WriteDocument',
];

function collection(shape: StackShape): Part {
  return {
    parameters: {
      SearchStandby: {
        Type: 'String',
        Default: 'DISABLED',
        AllowedValues: ['DISABLED', 'ENABLED'],
        Description: 'Copies of the collection in a second zone, at twice the cost',
      },
      SearchAdmin: ADMIN,
    },
    conditions: { HasSearchAdmin: not(isEqual(ref('SearchAdmin'), '')) },
    resources: {
      ...collectionPolicies(),
      [COLLECTION]: {
        Type: 'AWS::OpenSearchServerless::Collection',
        DependsOn: ['SearchEncryption', 'SearchNetwork'],
        ...GOES,
        Properties: {
          Name: ref('Name'),
          // Other types take no ids of documents, by which a result replaces its earlier version.
          Type: 'SEARCH',
          StandbyReplicas: ref('SearchStandby'),
        },
      },
    },
    outputs: searchOutputs(shape),
  };
}

/** A collection is reachable from outside, and answers to whom the last of these names. */
function collectionPolicies(): Record<string, Resource> {
  const here = [sub`collection/${ref('Name')}`];
  const policy = (type: 'encryption' | 'network', document: Value): Resource => ({
    Type: 'AWS::OpenSearchServerless::SecurityPolicy',
    Properties: { Name: ref('Name'), Type: type, Policy: subJson(document) },
  });
  const rules = [
    { ResourceType: 'collection', Resource: here, Permission: COLLECTION_RIGHTS },
    { ResourceType: 'index', Resource: [sub`index/${ref('Name')}/*`], Permission: INDEX_RIGHTS },
  ];
  const allowed = (principals: readonly Value[]) => subJson([{ Rules: rules, Principal: principals }]);
  const processor = att('ProcessRole', 'Arn');
  return {
    SearchEncryption: policy('encryption', {
      Rules: [{ ResourceType: 'collection', Resource: here }],
      AWSOwnedKey: true,
    }),
    SearchNetwork: policy('network', [
      {
        Rules: ['collection', 'dashboard'].map((type) => ({ ResourceType: type, Resource: here })),
        AllowFromPublic: true,
      },
    ]),
    SearchAccess: {
      Type: 'AWS::OpenSearchServerless::AccessPolicy',
      Properties: {
        Name: ref('Name'),
        Type: 'data',
        Policy: when('HasSearchAdmin', allowed([processor, ref('SearchAdmin')]), allowed([processor])),
      },
    },
  };
}

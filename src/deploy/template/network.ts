/** Where tasks run: a small network of the stack's own, or subnets that are given. Nothing has a way in from outside. */
import { att, type Part, type Resource, ref, select, sub, type Value } from './cloudformation.ts';
import type { StackShape } from './shape.ts';

/** The subnets that tasks are started in, as a list. */
export function subnetsOf({ network }: StackShape): Value {
  return network === 'own' ? [ref('SubnetA'), ref('SubnetB')] : ref('SubnetIds');
}

/** One of the first two subnets. */
export function subnetOf({ network }: StackShape, index: 0 | 1): Value {
  if (network === 'own') return ref(index === 0 ? 'SubnetA' : 'SubnetB');
  return select(index, ref('SubnetIds'));
}

/** Without an address of their own, tasks of a public subnet reach nothing, not even their image. */
export function publicIpOf({ network }: StackShape): Value {
  return network === 'own' ? 'ENABLED' : ref('AssignPublicIp');
}

export function networkPart(shape: StackShape): Part {
  const vpc = shape.network === 'own' ? ref('Vpc') : ref('VpcId');
  const tasks: Resource = {
    Type: 'AWS::EC2::SecurityGroup',
    Properties: {
      GroupDescription: 'Tasks of taxiflow, with no way in',
      VpcId: vpc,
      SecurityGroupEgress: [
        {
          IpProtocol: 'tcp',
          FromPort: 443,
          ToPort: 443,
          CidrIp: '0.0.0.0/0',
          Description: 'AWS and the search service',
        },
      ],
    },
  };
  if (shape.network === 'own') return { resources: { ...ownNetwork(), TaskGroup: tasks } };
  return {
    parameters: {
      VpcId: { Type: 'AWS::EC2::VPC::Id', Description: 'VPC that tasks run in' },
      SubnetIds: {
        Type: 'List<AWS::EC2::Subnet::Id>',
        Description: 'Its subnets for tasks, in two zones, with a way to ECR, S3, Kinesis and CloudWatch',
      },
      AssignPublicIp: {
        Type: 'String',
        Default: 'DISABLED',
        AllowedValues: ['DISABLED', 'ENABLED'],
        Description:
          'Whether tasks get public addresses, which they need in subnets without NAT or endpoints',
      },
    },
    resources: { TaskGroup: tasks },
  };
}

const ADDRESSES = '10.42.0.0/16';

function ownNetwork(): Record<string, Resource> {
  const vpc = ref('Vpc');
  const named = (name: Value) => [{ Key: 'Name', Value: name }];
  const own = named(ref('Name'));
  const subnet = (index: number): Resource => ({
    Type: 'AWS::EC2::Subnet',
    Properties: {
      VpcId: vpc,
      CidrBlock: `10.42.${index}.0/24`,
      AvailabilityZone: select(index, { 'Fn::GetAZs': '' }),
      MapPublicIpOnLaunch: false,
      Tags: named(sub`${ref('Name')}-${'ab'[index]!}`),
    },
  });
  const routed = (name: string): Resource => ({
    Type: 'AWS::EC2::SubnetRouteTableAssociation',
    Properties: { SubnetId: ref(name), RouteTableId: ref('Routes') },
  });
  return {
    Vpc: {
      Type: 'AWS::EC2::VPC',
      Properties: {
        CidrBlock: ADDRESSES,
        EnableDnsSupport: true,
        EnableDnsHostnames: true,
        Tags: own,
      },
    },
    SubnetA: subnet(0),
    SubnetB: subnet(1),
    Gateway: { Type: 'AWS::EC2::InternetGateway', Properties: { Tags: own } },
    GatewayAttachment: {
      Type: 'AWS::EC2::VPCGatewayAttachment',
      Properties: { VpcId: vpc, InternetGatewayId: ref('Gateway') },
    },
    Routes: { Type: 'AWS::EC2::RouteTable', Properties: { VpcId: vpc, Tags: own } },
    WayOut: {
      Type: 'AWS::EC2::Route',
      DependsOn: 'GatewayAttachment',
      Properties: {
        RouteTableId: ref('Routes'),
        DestinationCidrBlock: '0.0.0.0/0',
        GatewayId: ref('Gateway'),
      },
    },
    RoutesA: routed('SubnetA'),
    RoutesB: routed('SubnetB'),
    // Traffic to buckets of the region leaves the network free of charge.
    BucketsEndpoint: {
      Type: 'AWS::EC2::VPCEndpoint',
      Properties: {
        VpcId: vpc,
        VpcEndpointType: 'Gateway',
        ServiceName: sub`com.amazonaws.${ref('AWS::Region')}.s3`,
        RouteTableIds: [ref('Routes')],
      },
    },
  };
}

/** The group of the search domain, which only tasks reach. */
export function searchGroup({ network }: StackShape): Resource {
  return {
    Type: 'AWS::EC2::SecurityGroup',
    Properties: {
      GroupDescription: 'Search domain of taxiflow, for its tasks alone',
      VpcId: network === 'own' ? ref('Vpc') : ref('VpcId'),
      SecurityGroupIngress: [
        {
          IpProtocol: 'tcp',
          FromPort: 443,
          ToPort: 443,
          SourceSecurityGroupId: att('TaskGroup', 'GroupId'),
          Description: 'Tasks of taxiflow',
        },
      ],
    },
  };
}

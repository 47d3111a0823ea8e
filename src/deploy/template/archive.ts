/**
 * The archive as tables: `events`, what the stream had, which Firehose delivers at least once; `trips`, each trip once, which
 * `process --archive` writes. Both have a partition for each day, which Athena works out without a crawler.
 */
import { TRIP_FIELDS } from '../../events/trip.ts';
import { OTHER_VALUES } from '../../sinks/archive/columns.ts';
import { taxiViews } from '../../views/taxi.ts';
import { EVENTS_PREFIX, TRIPS_PREFIX } from './access.ts';
import { athenaQuery } from './athena.ts';
import { att, join, type Part, type Resource, ref, split, sub, type Value } from './cloudformation.ts';

const LOG_KEY = { id: 'CKV_AWS_158', comment: 'Logs hold no secrets, and are encrypted with a key of AWS' };
export const LOG_METADATA = { checkov: { skip: [LOG_KEY] } };

export function archivePart(): Part {
  return {
    resources: {
      FirehoseLog: {
        Type: 'AWS::Logs::LogGroup',
        DeletionPolicy: 'Delete',
        UpdateReplacePolicy: 'Delete',
        Metadata: LOG_METADATA,
        Properties: { LogGroupName: sub`/${ref('Name')}/firehose`, RetentionInDays: 30 },
      },
      FirehoseLogStream: {
        Type: 'AWS::Logs::LogStream',
        Properties: { LogGroupName: ref('FirehoseLog'), LogStreamName: 's3' },
      },
      Firehose: firehose(),
      Catalog: {
        Type: 'AWS::Glue::Database',
        Properties: {
          CatalogId: ref('AWS::AccountId'),
          DatabaseInput: {
            // In SQL, a name with hyphens would need quotes.
            Name: join('_', split('-', ref('Name'))),
            Description: 'Trips of taxiflow',
          },
        },
      },
      EventsTable: eventsTable(),
      TripsTable: tripsTable(),
      Queries: queries(),
      ...namedQueries(),
    },
    outputs: {
      ArchiveUrl: {
        Description: 'Trips as Parquet, each once',
        Value: sub`s3://${ref('ArchiveBucket')}/${TRIPS_PREFIX}`,
      },
      EventsUrl: {
        Description: 'Records of the stream as JSON, at least once',
        Value: sub`s3://${ref('ArchiveBucket')}/${EVENTS_PREFIX}`,
      },
    },
  };
}

function firehose(): Resource {
  return {
    Type: 'AWS::KinesisFirehose::DeliveryStream',
    Properties: {
      DeliveryStreamName: sub`${ref('Name')}-archive`,
      DeliveryStreamType: 'KinesisStreamAsSource',
      KinesisStreamSourceConfiguration: {
        KinesisStreamARN: att('Stream', 'Arn'),
        RoleARN: att('FirehoseRole', 'Arn'),
      },
      ExtendedS3DestinationConfiguration: {
        BucketARN: att('ArchiveBucket', 'Arn'),
        RoleARN: att('FirehoseRole', 'Arn'),
        Prefix: `${EVENTS_PREFIX}/day=!{timestamp:yyyy-MM-dd}/`,
        ErrorOutputPrefix: 'errors/!{firehose:error-output-type}/',
        BufferingHints: { SizeInMBs: 64, IntervalInSeconds: 300 },
        CompressionFormat: 'GZIP',
        CloudWatchLoggingOptions: {
          Enabled: true,
          LogGroupName: ref('FirehoseLog'),
          LogStreamName: ref('FirehoseLogStream'),
        },
      },
    },
  };
}

type SqlType = (typeof TRIP_FIELDS)[keyof typeof TRIP_FIELDS]['sql'];
const GLUE_TYPES: Readonly<Record<SqlType, string>> = {
  BIGINT: 'bigint',
  INT: 'int',
  DOUBLE: 'double',
  STRING: 'string',
  'TIMESTAMP(3)': 'timestamp',
};

/** As `process --archive` stores it: whole numbers have 64 bits. */
const parquetType = (sql: SqlType) => (sql === 'INT' ? 'bigint' : GLUE_TYPES[sql]);

const column = (Name: string, Type: string) => ({ Name, Type });
const FIELDS = Object.entries(TRIP_FIELDS);

/** In JSON, times are ISO 8601 with `T` and `Z`, which Athena reads as text. */
function eventsTable(): Resource {
  const trip = FIELDS.map(([name, { type, sql }]) =>
    column(name, type === 'time' ? 'string' : GLUE_TYPES[sql]),
  );
  return table('events', EVENTS_PREFIX, '2024-01-01', {
    Columns: [column('type', 'string'), ...trip, column('watermark', 'string'), column('shard', 'string')],
    InputFormat: 'org.apache.hadoop.mapred.TextInputFormat',
    OutputFormat: 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat',
    SerdeInfo: { SerializationLibrary: 'org.openx.data.jsonserde.JsonSerDe' },
  });
}

function tripsTable(): Resource {
  return table('trips', TRIPS_PREFIX, '2009-01-01', {
    Columns: [
      ...FIELDS.map(([name, { sql }]) => column(name, parquetType(sql))),
      column(OTHER_VALUES, 'string'),
    ],
    InputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat',
    OutputFormat: 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat',
    SerdeInfo: { SerializationLibrary: 'org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe' },
  });
}

/** `first`: the first day there may be. */
function table(
  name: string,
  prefix: string,
  first: string,
  storage: Readonly<Record<string, Value>>,
): Resource {
  return {
    Type: 'AWS::Glue::Table',
    Properties: {
      CatalogId: ref('AWS::AccountId'),
      DatabaseName: ref('Catalog'),
      TableInput: {
        Name: name,
        TableType: 'EXTERNAL_TABLE',
        Parameters: {
          'projection.enabled': 'true',
          'projection.day.type': 'date',
          'projection.day.format': 'yyyy-MM-dd',
          'projection.day.range': `${first},NOW+1DAYS`,
          'storage.location.template': sub`s3://${ref('ArchiveBucket')}/${prefix}/day=\${day}`,
        },
        PartitionKeys: [column('day', 'string')],
        StorageDescriptor: { Location: sub`s3://${ref('ArchiveBucket')}/${prefix}/`, ...storage },
      },
    },
  };
}

function queries(): Resource {
  return {
    Type: 'AWS::Athena::WorkGroup',
    Properties: {
      Name: ref('Name'),
      // Named queries and answers would keep it, and the stack with it.
      RecursiveDeleteOption: true,
      WorkGroupConfiguration: {
        EnforceWorkGroupConfiguration: true,
        EngineVersion: { SelectedEngineVersion: 'Athena engine version 3' },
        ResultConfiguration: {
          OutputLocation: sub`s3://${ref('ArchiveBucket')}/queries/`,
          EncryptionConfiguration: { EncryptionOption: 'SSE_S3' },
        },
      },
    },
  };
}

function namedQueries(): Record<string, Resource> {
  const named = taxiViews().map((view) => {
    const id = view.name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
    const resource: Resource = {
      Type: 'AWS::Athena::NamedQuery',
      Properties: {
        Name: view.name,
        Description: `View ${view.name} over the archive; late trips count too`,
        Database: ref('Catalog'),
        WorkGroup: ref('Queries'),
        QueryString: athenaQuery(view, 'trips'),
      },
    };
    return [`${id}Query`, resource] as const;
  });
  return Object.fromEntries(named);
}

"""Starts the emulator. Its Athena has named queries, which its CloudFormation is taught here."""

import json
import sys

from ministack.app import main
from ministack.services import athena
from ministack.services.cloudformation import provisioners


def create(logical_id, props, stack_name):
    _, _, body = athena._create_named_query(props)
    query = json.loads(body)["NamedQueryId"]
    return query, {"NamedQueryId": query}


def delete(physical_id, props):
    athena._delete_named_query({"NamedQueryId": physical_id})


provisioners._RESOURCE_HANDLERS["AWS::Athena::NamedQuery"] = {"create": create, "delete": delete}
sys.exit(main())

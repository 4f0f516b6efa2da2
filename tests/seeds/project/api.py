"""Every block, each in an API of its own under its page and line."""

from bolt_ws import BoltAPI
from tests.seeds.drivers import prefix_of
from tests.seeds.loading import load
from tests.seeds.pages import read_blocks

api = BoltAPI()


@api.websocket("/echo/text")
async def echo(websocket):
    async for text in websocket.iter_text():
        await websocket.send_text(text)


for block in read_blocks().values():
    api.include(load(block).api, prefix=prefix_of(block))

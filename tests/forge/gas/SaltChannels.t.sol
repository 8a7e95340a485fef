// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {SaltChannelsTest} from "../SaltChannels/SaltChannelsTest.sol";
import {OpenZeppelinToken} from "../mocks/OpenZeppelinToken.sol";
import {SoladyToken} from "../mocks/SoladyToken.sol";
import {WrappedSalt, newWrappedSalt} from "../support/Contracts.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @notice What channels cost, as whole transactions, with a session key, in an honest token, between accounts that hold
/// it already. Salts are counted, as a client would; one of 32 random bytes costs 372 more. The figures are kept in `snapshots/`.
contract SaltChannelsGas is SaltChannelsTest {
    uint256 private constant PRICE = 0.0015 ether;

    WrappedSalt private wrappedSalt;
    uint256 private salts;

    function setUp() public override {
        super.setUp();
        wrappedSalt = newWrappedSalt();
        vm.deal(payee.addr, FUNDS);
        vm.prank(payee.addr);
        wrappedSalt.deposit{value: 1 ether}();
        vm.startPrank(payer.addr);
        wrappedSalt.deposit{value: FUNDS / 2}();
        wrappedSalt.approve(address(channels), type(uint256).max);
        vm.stopPrank();

        // Somebody's channels are there before.
        openNext(address(wrappedSalt));
        openNext(NATIVE);
    }

    function test_gas_open_native() external {
        openNext(NATIVE);
        snapshot("open, native");
    }

    function test_gas_open_token() external {
        openNext(address(wrappedSalt));
        snapshot("open, wSALT");
    }

    function test_gas_open_randomSalt() external {
        open(channelIn(NATIVE), 1 ether);
        snapshot("open, native, salt of 32 random bytes");
    }

    function test_gas_topUp_native() external {
        topUp(openNext(NATIVE), DEPOSIT);
        snapshot("topUp, native");
    }

    function test_gas_topUp_token() external {
        topUp(openNext(address(wrappedSalt)), DEPOSIT);
        snapshot("topUp, wSALT");
    }

    function test_gas_depositWithAuthorization() external {
        ISaltChannels.Channel memory channel = channelIn(address(wrappedSalt));
        channel.salt = bytes32(++salts);
        bytes32 nonce = channels.authorizationNonce(channels.channelId(channel), 0);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(
            payer,
            keccak256(
                abi.encodePacked(
                    "\x19\x01",
                    wrappedSalt.DOMAIN_SEPARATOR(),
                    keccak256(
                        abi.encode(
                            wrappedSalt.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
                            payer.addr,
                            address(channels),
                            DEPOSIT,
                            0,
                            block.timestamp + 60,
                            nonce
                        )
                    )
                )
            )
        );
        vm.prank(anyone);
        channels.depositWithAuthorization(channel, DEPOSIT, 0, 0, block.timestamp + 60, v, r, s);
        snapshot("open by EIP-3009, wSALT");
    }

    function test_gas_depositFor() external {
        ISaltChannels.Channel memory channel = channelIn(address(wrappedSalt));
        channel.salt = bytes32(++salts);
        uint256 deadline = block.timestamp + 60;
        bytes memory signature = sign(payer, depositDigest(channel, DEPOSIT, 0, deadline));
        vm.prank(anyone);
        channels.depositFor(channel, DEPOSIT, 0, deadline, signature);
        snapshot("open by signature, wSALT");
    }

    function test_gas_claim_native() external {
        ISaltChannels.Channel memory channel = openNext(NATIVE);
        claim(channel, PRICE);
        snapshot("claim, native, first of a channel");
        claim(channel, 2 * PRICE);
        snapshot("claim, native");
    }

    function test_gas_claim_token() external {
        ISaltChannels.Channel memory channel = openNext(address(wrappedSalt));
        claim(channel, PRICE);
        snapshot("claim, wSALT, first of a channel");
        claim(channel, 2 * PRICE);
        snapshot("claim, wSALT");
    }

    /// @dev As others measure: with a token of a library, that does nothing else.
    function test_gas_token_ofLibraries() external {
        useTokenOf("OpenZeppelin", address(new OpenZeppelinToken(payer.addr, FUNDS)));
        useTokenOf("Solady", address(new SoladyToken(payer.addr, FUNDS)));
    }

    function test_gas_claimMany() external {
        uint256 one = claimMany(1);
        snapshot("claimMany, wSALT, 1");
        uint256 ten = claimMany(10);
        snapshot("claimMany, wSALT, 10");
        uint256 fifty = claimMany(50);
        snapshot("claimMany, wSALT, 50");
        vm.snapshotValue("SaltChannels", "claimMany, wSALT, each further voucher to 10", (ten - one) / 9);
        vm.snapshotValue("SaltChannels", "claimMany, wSALT, each further voucher to 50", (fifty - one) / 49);
    }

    function test_gas_claimRows() external {
        uint256 one = claimRows(1);
        snapshot("claimRows, wSALT, 1");
        uint256 ten = claimRows(10);
        snapshot("claimRows, wSALT, 10");
        uint256 fifty = claimRows(50);
        snapshot("claimRows, wSALT, 50");
        vm.snapshotValue("SaltChannels", "claimRows, wSALT, each further voucher to 10", (ten - one) / 9);
        vm.snapshotValue("SaltChannels", "claimRows, wSALT, each further voucher to 50", (fifty - one) / 49);
    }

    function test_gas_closeMany() external {
        uint256 one = closeMany(1);
        snapshot("closeMany, wSALT, 1");
        uint256 ten = closeMany(10);
        snapshot("closeMany, wSALT, 10");
        vm.snapshotValue("SaltChannels", "closeMany, wSALT, each further channel", (ten - one) / 9);
    }

    function test_gas_exitMany() external {
        uint256 one = exitMany(1);
        snapshot("exitMany, wSALT, 1");
        uint256 ten = exitMany(10);
        snapshot("exitMany, wSALT, 10");
        vm.snapshotValue("SaltChannels", "exitMany, wSALT, each further channel", (ten - one) / 9);
    }

    function test_gas_claim_byOperator() external {
        ISaltChannels.Channel memory channel = channelIn(NATIVE);
        channel.operator = anyone;
        open(channel, 1 ether);
        bytes memory voucher = voucherOf(channel, PRICE);
        vm.prank(anyone);
        channels.claim(channel, PRICE, PRICE, voucher);
        snapshot("claim, native, by an operator");
    }

    function test_gas_refund() external {
        ISaltChannels.Channel memory channel = openNext(NATIVE);
        claim(channel, PRICE);
        vm.prank(payee.addr);
        channels.refund{value: PRICE}(channel, PRICE);
        snapshot("refund, native");

        channel = openNext(address(wrappedSalt));
        claim(channel, PRICE);
        vm.startPrank(payee.addr);
        wrappedSalt.approve(address(channels), type(uint256).max);
        channels.refund(channel, PRICE);
        vm.stopPrank();
        snapshot("refund, wSALT");
    }

    function test_gas_close_native() external {
        close(openNext(NATIVE), PRICE);
        snapshot("close, native");
    }

    function test_gas_close_token() external {
        close(openNext(address(wrappedSalt)), PRICE);
        snapshot("close, wSALT");
    }

    function test_gas_exit_native() external {
        exit(openNext(NATIVE));
        snapshot("exit, native");
    }

    function test_gas_exit_token() external {
        ISaltChannels.Channel memory channel = openNext(address(wrappedSalt));
        requestExit(channel);
        snapshot("requestExit");
        vm.warp(block.timestamp + DELAY);
        channels.exit(channel);
        snapshot("exit, wSALT");
    }

    function useTokenOf(string memory library_, address token) private {
        vm.startPrank(payer.addr);
        assertTrue(IERC20(token).transfer(payee.addr, 1 ether));
        IERC20(token).approve(address(channels), type(uint256).max);
        vm.stopPrank();
        openNext(token);
        ISaltChannels.Channel memory channel = openNext(token);
        snapshot(string.concat("open, token of ", library_));
        claim(channel, PRICE);
        snapshot(string.concat("claim, token of ", library_));
    }

    function exit(ISaltChannels.Channel memory channel) private {
        awaitExit(channel);
        channels.exit(channel);
    }

    function rowsOf(uint256 count) private returns (ISaltChannels.Claim[] memory claims) {
        claims = new ISaltChannels.Claim[](count);
        for (uint256 i = 0; i < count; ++i) {
            claims[i] = rowOf(openNext(address(wrappedSalt)), PRICE);
        }
    }

    function claimRows(uint256 count) private returns (uint256) {
        ISaltChannels.Claim[] memory claims = rowsOf(count);
        bytes memory rows;
        for (uint256 i = 0; i < count; ++i) {
            rows = bytes.concat(rows, packed(claims[i]));
        }
        vm.prank(payee.addr);
        channels.claimRows(payee.addr, address(wrappedSalt), address(0), rows);
        return vm.lastCallGas().gasTotalUsed;
    }

    function closeMany(uint256 count) private returns (uint256) {
        ISaltChannels.Claim[] memory claims = rowsOf(count);
        vm.prank(payee.addr);
        channels.closeMany(payee.addr, address(wrappedSalt), claims);
        return vm.lastCallGas().gasTotalUsed;
    }

    function exitMany(uint256 count) private returns (uint256) {
        ISaltChannels.Channel[] memory many = new ISaltChannels.Channel[](count);
        for (uint256 i = 0; i < count; ++i) {
            many[i] = openNext(address(wrappedSalt));
            requestExit(many[i]);
        }
        vm.warp(vm.getBlockTimestamp() + DELAY);
        vm.prank(anyone);
        channels.exitMany(many);
        return vm.lastCallGas().gasTotalUsed;
    }

    function claimMany(uint256 count) private returns (uint256) {
        ISaltChannels.Claim[] memory claims = rowsOf(count);
        vm.prank(payee.addr);
        channels.claimMany(payee.addr, address(wrappedSalt), claims);
        return vm.lastCallGas().gasTotalUsed;
    }

    function openNext(address asset) private returns (ISaltChannels.Channel memory channel) {
        channel = channelIn(asset);
        channel.salt = bytes32(++salts);
        open(channel, 1 ether);
    }

    function snapshot(string memory name) private {
        vm.snapshotGasLastCall("SaltChannels", name);
    }
}
